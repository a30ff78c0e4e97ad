"""The gateway's own database: what ClearML has no place for, and what must be durable before an answer is sent.

database.py      the engine of SQLite or PostgreSQL, transactions, checks of the schema
tables.py        the tables
columns.py       types and expressions that both databases have
accounts.py      users, projects, memberships
tokens.py        tokens as they are kept
sessions.py      log-ins of browsers
studies.py       studies that are open to outside workers
handouts.py      hand-outs and their states
answers.py       what outside workers reported, and what they were answered
outbox.py        what is still to be written to ClearML's server
idempotency.py   requests that come twice
audit.py         who did what
backup.py        SQLite's file, written while it is in use, and restored
housekeeping.py  what is not kept for ever
migrations/      the schema, version by version

All but `database.py` are functions over a connection, so that several of them are one transaction. Times are seconds
since 1970, by the database's clock.
"""

from clearml_hpo.gateway.db.database import Database

__all__ = ["Database"]
