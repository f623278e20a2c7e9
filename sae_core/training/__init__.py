"""Training dictionaries."""
