"""The command line: what can be asked for, and how it is read.

In: words typed by a user. Out: one call of a job or of the server, and its outcome in sentences.
`main.py` knows the commands; each file of `commands/` is one of them.
"""
