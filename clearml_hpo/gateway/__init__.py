"""The gateway: whoever can send an HTTP request can run trials of a study.

app.py       the web application
service.py   what the wires call
hosting.py   this service: a host for each study that is asked for
host.py      one open study: a thread drives it, another writes what its workers said
handing.py   what its workers are given and say
idling.py    when nobody asks for its trials any more
reading.py   what it amounts to: the best trial, importances, CSV
importing.py  trials that ended elsewhere, as requests have them
feed.py      what has changed of a study's trials
writing.py   what workers said, written to ClearML's server
single.py    one study, served by the process that drives it: `run --gateway`
process.py   the process that serves
supervisor.py  holds its socket, and starts it anew if it dies
running.py   the one gateway of this machine's state directory: started, found, ended from outside
state.py     its folder, its database, the key of its tokens
requests.py  a request: where it came from, its token, its body
bodies.py    bodies of requests: JSON within bounds
threads.py   work that waits, in threads
limits.py    how often a token and a project may call
redact.py    logs without tokens
auth/        who may do what
db/          the gateway's own database
install/     files for NGINX and systemd
v1/          the native API
pages/       what a browser shows
hopaas/      the wire of `hopaas_client`
"""
