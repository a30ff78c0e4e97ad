"""The gateway: whoever can send an HTTP request can run trials of a study.

bodies.py   bodies of requests: JSON within bounds
db/         the gateway's own database
hopaas/     the wire of `hopaas_client`
"""
