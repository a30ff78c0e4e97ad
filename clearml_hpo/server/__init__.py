"""An embedded server that unmodified ClearML programs and agents use as theirs. It knows nothing of HPO.

::

    process      start, stop, status, release, run: one process, three ports, one data directory
    keys         key pairs added, listed, revoked; backup: a data directory in one file, and back
    state        what a data directory says of its server; holds: who still needs it
    options      how it is run; silence: stops tasks of which nothing is heard
    connections  slow ones are closed; guard: names, pace of bodies; access_log: who asked for what
    hosts        from where a request comes
    app          the ASGI applications over one store: api, files, web
    dispatch     path -> endpoint -> checked fields -> ClearML's envelope; counts calls
    sizes        how large a body may be, by endpoint
    endpoint     what an endpoint is; fields: what a request may hold; errors: codes and subcodes
    auth         key pairs, tokens
    services/    one module per ClearML service: check, ask the store, shape the answer
    store/       the only door to SQLite
    files        the file server
    pages/       plain pages at the web port
    webapp/      ClearML's own web app there instead, if there is a build of it
    hosts        from where a request comes

It is written from the SDK's request classes and from recorded exchanges of a real server.
"""

from __future__ import annotations

from clearml_hpo.server.process import RunningServer, release, run, start, status, stop

__all__ = ["RunningServer", "release", "run", "start", "status", "stop"]
