"""Logs without tokens: paths are written as their routes, and texts without secrets."""

from __future__ import annotations

import logging
import re
import traceback

from clearml_hpo.gateway.auth.token_text import without_secrets

_HOPAAS = re.compile(r"/+((?:hopaas/+)?api/+(?:ask|tell|should_prune|mark_as_failed|get_best_trial))(?:/|$)")
_PLAIN = re.compile(
    r"/(?:$|healthz$|readyz$|client\.py$|log(?:in|out)$|tokens|studies|guide$|static/|api/v1/|(?:hopaas/)?api/version$)"
)


def route(path: str) -> str:
    """What a log says of a path: never what may be a token."""
    if found := _HOPAAS.match(path):
        return f"/{re.sub('/+', '/', found[1])}/<token>"
    return without_secrets(path) if _PLAIN.match(path) and path.isprintable() else "<other>"


def trace(error: BaseException) -> str:
    """The lines of an exception, without secrets."""
    return without_secrets("".join(traceback.format_exception(error)))


class SecretFilter(logging.Filter):
    """Takes tokens out of all that passes, also of exceptions."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the record's text has no token afterwards."""
        record.msg, record.args = without_secrets(record.getMessage()), None
        if record.exc_info and record.exc_info[1] is not None:
            record.msg = f"{record.msg}\n{trace(record.exc_info[1])}"
            record.exc_info = record.exc_text = None
        return True


def guard_logs() -> None:
    """Has every handler of this process take tokens out, whoever logs."""
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if not any(isinstance(each, SecretFilter) for each in handler.filters):
            handler.addFilter(SecretFilter())
