"""The store: everything that is kept, in SQLite or Postgres.

In: records of a harvest, a training or a user. Out: frozen types (`types/`). `store.py` is the
only door: `open_store` opens it, jobs write through it, pages read through it. `upkeep/` works on
the whole of it. Called by jobs, pages and exchange; it knows nothing of pages or of drawing.
"""
