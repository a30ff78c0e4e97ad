"""An embedded server that unmodified ClearML programs and agents use as theirs. It knows nothing of HPO.

process.py       the server as a process of its own: start, find and stop it
serving.py       the server in this process: three ports, one data directory
options.py       the options of `server start` and `server run`
state.py         a data directory's server: keys, lock, addresses
holds.py         runs that still need the server
dashboards.py    where a dashboard of this server's studies listens
keys.py          key pairs: add, list, revoke
backup.py        a data directory copied to one file, and restored
app.py           the ASGI applications over one store: API, files, web
dispatch.py      from a request to an endpoint, and back into ClearML's envelope
registry.py      the table of all endpoints
endpoint.py      an endpoint: name, fields, function
fields.py        fields of a request: type, limits, conversion
errors.py        ClearML's error codes, subcodes and texts
status_rules.py  which calls a task's status allows
auth.py          key pairs and signed tokens
credentials.py   the owner's key pair
identity.py      the company and the users
guard.py         host names, pace of bodies and the access log, for all applications
hosts.py         origin of a request: this machine, this site, another site
short_calls.py   calls that are answered without a thread of their own
sizes.py         largest body of each endpoint
connections.py   closes connections that stall
access_log.py    a line for each request, in a file of bounded size
call_log.py      calls with the status of their tasks, for tests
stale_tasks.py   stops running tasks that no longer report
clock.py         time as the API writes it
files.py         the file server
services/        one module for each ClearML service: check, ask the store, shape the answer
store/           the only door to SQLite
pages/           plain pages at the web port
webapp/          a build of ClearML's own web app in their place

It is written from the SDK's request classes and from recorded exchanges of a real server.
"""

from __future__ import annotations

from clearml_hpo.server.process import RunningServer, release, start, status, stop

__all__ = ["RunningServer", "release", "start", "status", "stop"]
