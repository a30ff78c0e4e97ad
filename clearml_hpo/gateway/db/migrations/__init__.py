"""The schema of the gateway's database, version by version, for Alembic.

env.py     how a version is applied
versions/  the versions
"""
