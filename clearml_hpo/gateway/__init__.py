"""The gateway: whoever can send an HTTP request can run trials of a study.

state.py    its folder, its database, the key of its tokens
bodies.py   bodies of requests: JSON within bounds
auth/       who may do what
db/         the gateway's own database
hopaas/     the wire of `hopaas_client`
"""
