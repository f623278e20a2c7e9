"""Queries, one module for each group of tables.

In: a database session. Out: the types of `app/store/types`. Called by `app/store/store.py`.
"""
