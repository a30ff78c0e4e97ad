"""Where commands print: a stream that takes every character, and whose reader may leave."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import TypeVar

_GONE = (errno.EPIPE, errno.EIO)  # a pipe without a reader, a terminal that is closed
_Result = TypeVar("_Result")


class Output(io.TextIOWrapper):
    """Standard output or error for a command.

    A character that the encoding lacks is written as an escape. When the reader has gone, the rest goes nowhere, so
    that the work goes on. Any other error, such as a full disk, is raised.

    Attributes:
        is_gone: whether the reader has.
    """

    is_gone = False

    def write(self, text: str) -> int:
        """Writes a text."""
        return self._unless_gone(lambda: super(Output, self).write(text), len(text))

    def flush(self) -> None:
        """Hands on what was written."""
        self._unless_gone(super().flush, None)

    def _unless_gone(self, call: Callable[[], _Result], otherwise: _Result) -> _Result:
        try:
            return call()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self.is_gone = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # also for what is still in the buffer
            os.close(nowhere)
            return otherwise


def is_read() -> bool:
    """True if what this process prints may have a reader: a command that only shows something ends without one."""
    return not (isinstance(sys.stdout, Output) and sys.stdout.is_gone)


def use() -> None:
    """Has this process print through :class:`Output`; streams that were put in place of its own are left alone."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            own = Output(
                stream.buffer,
                encoding=stream.encoding,
                errors="backslashreplace",
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, own)
