"""Neuronpedia's JSON of attribution graphs, which circuit-tracer's page opens, too.

In: such a file, or a graph of the store. Out: a graph with its pins and groups, or the file's text.
Called by the graphs' pages and by the command `graph`.
"""
