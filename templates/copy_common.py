"""Copy the common part of catboost_train.py to the other templates, each of which stays a file of its own.

python templates/copy_common.py           # as `make format` does
python templates/copy_common.py --check   # exit code 1 if one is stale, as `make check` asks
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "catboost_train.py"
COPIES = tuple(FOLDER / f"{name}_train.py" for name in ("xgboost", "lightgbm", "sklearn"))
MARK = "# === Common to all templates"


def stale() -> dict[Path, str]:
    """Return the templates whose common part is another one than the source's, each with the text it should have."""
    common = _parts(SOURCE)[1]
    wanted = {copy: _parts(copy)[0] + common for copy in COPIES}
    return {copy: text for copy, text in wanted.items() if copy.read_text(encoding="utf-8") != text}


def _parts(template: Path) -> tuple[str, str]:
    """Cut a template into its own part and the common one."""
    own, mark, common = template.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        sys.exit(f"error: {template} has no line that begins with {MARK!r}")
    return own, mark + common


def main() -> None:
    """Copy, or look."""
    found = stale()
    if sys.argv[1:] == ["--check"]:
        names = ", ".join(template.name for template in found)
        sys.exit(f"error: the common part is stale in {names}: run `make format`" if found else 0)
    for template, text in found.items():
        template.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
