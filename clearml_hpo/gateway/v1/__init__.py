"""The native API, under ``/api/v1``; its description is at ``/api/v1/openapi.json``.

access.py    who a request is from, and whether that may be
bodies.py    what requests and answers hold
events.py    changes of a study's trials as they happen
leases.py    what an outside worker shows with what it says of a trial
names.py     how the database knows studies by name
problems.py  errors, as RFC 9457 has them
routes.py    studies and trials
rows.py      trials as rows
tokens.py    tokens and the audit
"""
