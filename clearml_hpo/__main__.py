"""``python -m clearml_hpo``: the same as the ``clearml-hpo`` command."""

from clearml_hpo.cli import main

main()
