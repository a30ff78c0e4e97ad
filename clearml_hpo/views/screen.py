"""What all views of something that runs share: how they take the screen, and how a note is shown."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from clearml_hpo.views.json_console import JsonConsole

if TYPE_CHECKING:
    from typing_extensions import Self  # of mypy


class Screen(Protocol):
    """A view; implemented by ``Lines`` and ``Redrawn``."""

    def __enter__(self) -> Self:
        """Takes the screen."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives it back."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class Untaken:
    """A view for which the screen need not be taken."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Lines(Untaken):
    """Lines with the time of day, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        """Prints it."""
        if isinstance(self._console, JsonConsole):  # which has a time of its own
            self._console.print(text)
            return
        self._console.print(f"{time.strftime('%H:%M:%S')}  {text}", markup=False, highlight=False, soft_wrap=True)


class Redrawn:
    """What :meth:`render` returns, drawn again and again in place."""

    def __init__(self, console: Console, per_second: float) -> None:
        self._console = console
        self._per_second = per_second

    def __enter__(self) -> Self:
        self._live = Live(
            console=self._console,
            get_renderable=self.render,
            refresh_per_second=self._per_second,
            transient=True,
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """Prints it above what is drawn."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def render(self) -> RenderableType:
        """The view as it is now."""
        raise NotImplementedError
