"""Behaviours planted in the deeper demo's model, and who finds them.

In: the demo's model, its dictionaries and its text. Out: a table of rules by tools. Started by
`python -m benchmarks.planted`.
"""
