"""Queries, one module for each group of tables.

In: a connection within a transaction. Out: the types of `app/store/types`. Called by
`app/store/store.py`.
"""
