"""Limits that those who compute and those who explain share. No torch."""

FEWEST_FIRINGS = 10
"""Features that fire on fewer tokens of the text are too rare to be judged by it."""
BAR = 0.7
"""From this cosine or correlation on a feature counts as found again, unless told otherwise."""
