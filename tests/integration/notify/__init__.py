"""Messages that really go."""
