"""Commands that look after the store: what it holds, takes in, gives out and lets go.

In: names of models, dictionaries and files. Out: rows and files changed, or a list printed. Called
by `app/cli/main.py`.
"""
