"""One file for each version of the schema, never changed once it is released.

v0001_tables.py       the first tables
v0002_login_links.py  links that log a user in
"""
