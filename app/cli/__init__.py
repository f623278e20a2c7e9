"""The command line: what can be asked for, and how it is read.

In: words typed by a user. Out: one call of a job or of the server, and its outcome in sentences.
`main.py` lists the commands; each module of `commands/` is one of them. Called by the command
`featurescope` and by `python -m app`.
"""
