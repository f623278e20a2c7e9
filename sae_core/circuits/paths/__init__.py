"""One node of a graph, looked at closely: its ways to a target, what it is made of, which positions
its heads look at and why, and what moves when it is stronger or weaker.

In: a language model, dictionaries, a graph of them with the nodes' numbers. Out: plain arrays by
node, head and position. Called by the worker and by jobs.
"""
