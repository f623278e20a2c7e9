"""The store: everything that is kept, in SQLite or Postgres.

In: records of a harvest, a training or a user. Out: frozen types (`types/`). `store.py` is the
only door; jobs write through it, pages read through it. Knows nothing of pages or of drawing.
"""
