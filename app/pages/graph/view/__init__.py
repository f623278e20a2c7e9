"""A graph as its page shows it: names of nodes, figures, the table, proposals, and checks.

In: a graph of the store. Out: what templates draw and JSON tells. Called by the room's routes, its
JSON interface and the command `graph`.
"""
