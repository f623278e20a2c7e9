"""What a graph is put together with: where it ends, rows of edges while it grows, the whole.

In: columns of what may cause something (`frozen.rows`) and settings. Out: a graph's nodes and
edges. Called by `build`.
"""
