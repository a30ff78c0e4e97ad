"""A module beside the script."""


def square(rows, slope, offset):
    """The mean squared error."""
    return sum((y - slope * x - offset) ** 2 for x, y in rows) / len(rows)
