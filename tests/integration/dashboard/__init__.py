"""The dashboard, over a real server."""
