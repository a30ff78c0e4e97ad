"""What a browser shows of the gateway: the dashboard's own pages, and those for tokens.

app.py      the application
gate.py     who may come in, see which studies, and steer them
login.py    log-in by a link that works once; log-out
oidc.py     log-in at a provider
outside.py  the trials that outside workers have
tokens.py   tokens of a user: made, listed, rotated, revoked
guide.py    how to use the gateway from Python, curl and Slurm
"""

PATHS = (
    "/",
    "/login",
    "/login/{rest:path}",
    "/logout",
    "/studies",
    "/studies/{rest:path}",
    "/tokens",
    "/tokens/{rest:path}",
    "/guide",
    "/static/{file}",
)
"""Paths that the pages answer."""
PACKAGE = __name__
"""Whose templates they use."""
