"""What a crowd, or one rude client, does to a server: `python -m benchmarks crowd`.

In: the store that the settings name, and folders of the builds to compare. Out: lines for
RESULTS.md. Called by `benchmarks/__main__.py`, or by itself with several builds:
`python -m benchmarks.crowd BUILD ...`.
"""
