"""How a server is run: what `server start` and `server run` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine.settings import is_loopback


@dataclass(frozen=True)
class Options:
    """How a server is run.

    Attributes:
        host: the address to listen on.
        allow_remote: it may be one that other machines reach; and the server may be asked for by any name, as a proxy
            before it does.
        task_timeout_s: a task that runs, and of which nothing was heard for so long, is stopped; 0: never.
        max_file_size: of an upload, in bytes.
        webapp: a build of ClearML's web app, served in place of the server's own pages. It is not remembered for later.
        access_log: whether each request is written down, in ``access.log`` of the data directory.
    """

    host: str = "127.0.0.1"
    allow_remote: bool = False
    task_timeout_s: float = 15 * 60.0
    max_file_size: int = 64 * 2**30
    webapp: Path | None = None
    access_log: bool = False

    def __post_init__(self) -> None:
        """Refuses an address that others reach, unless that is wanted, and a folder that is no build of the web app."""
        if not self.is_local and not self.allow_remote:
            raise InputError(
                f"--host {self.host}: other machines could reach the server, and keys and data travel unencrypted; "
                "if that is what you want, add --allow-remote"
            )
        if self.webapp is not None:
            from clearml_hpo.server.webapp.build import checked  # loads the web framework

            checked(self.webapp)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        return self.host == "localhost" or is_loopback(self.host)

    def arguments(self) -> list[str]:
        """The options of ``clearml-hpo server run`` that say the same."""
        return [
            *("--host", self.host, "--task-timeout", f"{self.task_timeout_s:g}s"),
            *("--max-file-size", str(self.max_file_size)),
            *(["--webapp", str(self.webapp.absolute())] if self.webapp is not None else []),
            *(["--allow-remote"] if self.allow_remote else []),
            *(["--access-log"] if self.access_log else []),
        ]


DEFAULT = Options()
