"""The whole store: weighed, dumped, bundled, and dictionaries taken out of it.

In: a database session. Out: text, files, counts. Called by `app/store/store.py` and the commands
`list`, `remove`, `db`, `export` and `import`.
"""
