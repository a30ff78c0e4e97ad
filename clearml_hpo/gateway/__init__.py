"""The gateway: whoever can send an HTTP request can run trials of a study.

bodies.py   bodies of requests: JSON within bounds
hopaas/     the wire of `hopaas_client`
"""
