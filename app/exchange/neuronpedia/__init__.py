"""Neuronpedia's export format, read and written.

In: a folder of Neuronpedia's JSON lines, or features of the store. Out: records for the store, or
such a folder. Called by the commands `import` and `export`.
"""
