"""What goes into the store and comes out of it: frozen types without queries.

In: values that a job has computed, or rows that a query has read. Out: the same, checked and named.
Used by everything that writes or reads the store.
"""
