"""Texts of every kind as documents, read piece by piece and no further than asked."""
