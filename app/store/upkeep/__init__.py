"""The whole store: weighed, dumped, bundled, and dictionaries taken out of it.

In: the store's engine. Out: text, files, counts. Called by the commands `list`, `remove`, `db`,
`export` and `import`.
"""
