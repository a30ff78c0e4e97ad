"""One file for each version of the schema, never changed once it is released.

v0001_tables.py         the first tables
v0002_login_links.py    links that log a user in
v0003_audit_project.py  lines of the audit say of which project they are
"""
