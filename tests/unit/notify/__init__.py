"""What is worth a message."""
