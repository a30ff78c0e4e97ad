"""The gateway: whoever can send an HTTP request can run trials of a study.

app.py       the web application
service.py   what the wires call
state.py     its folder, its database, the key of its tokens
host.py      a host drives one open study and hands its trials out
writing.py   writes to ClearML's server what outside workers have said
requests.py  a request: where it came from, its token, its body
bodies.py    bodies of requests: JSON within bounds
limits.py    how often a token and a project may call
redact.py    logs without tokens
auth/        who may do what
db/          the gateway's own database
install/     files for NGINX and systemd
hopaas/      the wire of `hopaas_client`
"""
