"""Commands that study what is there: figures, labels, comparisons, circuits.

In: options. Out: what the store holds of dictionaries it has, and lines in the terminal. Called by
`app/cli/main.py`.
"""
