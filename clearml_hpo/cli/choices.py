"""Options of which a user chooses one value: a mistyped one is answered with the nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clearml_hpo.core.errors import nearest

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:  # it has no parameter before click 8.2
    _Choice = click.Choice


class Choice(_Choice):
    """click's, whose message names the nearest value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value."""
        try:
            return str(super().convert(value, param, ctx))
        except click.BadParameter as error:
            said = f"{error.message.rstrip('.')}{nearest(str(value), map(str, self.choices))}"
            raise click.BadParameter(said, ctx, param) from None
