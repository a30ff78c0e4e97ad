"""The server's pages in a real browser."""
