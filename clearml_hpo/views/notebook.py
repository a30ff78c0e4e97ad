"""What a notebook shows of a running study: the same as a terminal, redrawn in the output of the cell."""

from __future__ import annotations

import io
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial
from clearml_hpo.views.display import LiveView, Progress

if TYPE_CHECKING:
    from typing_extensions import Self  # of mypy

_WIDTH = 110
_REDRAWN_S = 1.0
"""Time between two drawings; each is kept in the notebook's document until the next."""
_MOST_NOTES = 12
_CODE = '<pre style="line-height:1.2">{code}</pre>'


class NotebookView(LiveView):
    """Draws into one output of IPython's; the last drawing and the last notes stay."""

    def __init__(self, study: str, goal: Goal) -> None:
        super().__init__(Console(file=io.StringIO(), force_jupyter=False, width=_WIDTH), study, goal)
        self._notes: list[str] = []
        self._handle: Any = None
        self._drew_at = 0.0

    def __enter__(self) -> Self:
        """Opens the output."""
        from IPython.display import HTML, display

        self._handle = display(HTML(""), display_id=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draws it for the last time."""
        self._draw()

    def note(self, text: str) -> None:
        """Shows it below what is drawn."""
        self._notes = [*self._notes, f"{time.strftime('%H:%M:%S')}  {text}"][-_MOST_NOTES:]
        self._draw()

    def trial(self, trial: Trial) -> None:
        """Remembers in which order trials ended."""
        super().trial(trial)
        self._draw_soon()

    def progress(self, progress: Progress) -> None:
        """Shows it, unless it was drawn just now."""
        super().progress(progress)
        self._draw_soon()

    def _draw_soon(self) -> None:
        if time.monotonic() - self._drew_at >= _REDRAWN_S:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML

        if self._handle is None:
            return
        console = Console(file=io.StringIO(), record=True, force_terminal=True, force_jupyter=False, width=_WIDTH)
        console.print(self.render())
        for note in self._notes:
            console.print(note, style="dim", markup=False, highlight=False)
        self._handle.update(HTML(console.export_html(inline_styles=True, code_format=_CODE)))
        self._drew_at = time.monotonic()


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    import sys

    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return found is not None and type(found).__name__ == "ZMQInteractiveShell"
