"""Who this server's company and user are: one of each, until a later version has more."""

from __future__ import annotations

COMPANY_ID = "d1bd92a3b039400cbafc60a7a5b1e52b"  # the identifier every open ClearML server uses
COMPANY_NAME = "clearml"
USER_ID = "local"
USER_NAME = "Local User"

SERVER_VERSION = "2.3.0"
API_VERSION = "2.34"
