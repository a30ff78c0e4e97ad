"""Benchmarks: each a command that prints JSON, side by side with what ClearML does by itself."""
