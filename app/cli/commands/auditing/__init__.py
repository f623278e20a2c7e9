"""Commands that gather evidence about features.

In: options. Out: what the store holds, and lines in the terminal. Called by `app/cli/main.py`.
"""
