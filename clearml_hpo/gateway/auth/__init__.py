"""Who may do what.

token_text.py  the form of a token
pepper.py      the key of the hashes of tokens
scopes.py      rights: those of a token, and those of its owner
tokens.py      tokens made, checked, rotated, revoked
oidc.py        providers of log-ins, and who of theirs may come in
sessions.py    log-ins of browsers
"""

from clearml_hpo.gateway.auth.scopes import Right, Rights
from clearml_hpo.gateway.auth.token_text import Kind
from clearml_hpo.gateway.auth.tokens import NewToken, Principal, RefusedTokenError, Tokens

__all__ = ["Kind", "NewToken", "Principal", "RefusedTokenError", "Right", "Rights", "Tokens"]
