"""Commands that start a process which answers others: the pages, the worker, the demo.

In: options that say where to listen. Out: a process that runs until it is interrupted. Called by
`app/cli/main.py`.
"""
