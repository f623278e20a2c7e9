"""The commands of `featurescope`, one module each, all alike.

`register` adds the command's parser; `run` does the work and imports what it needs only then, so
that `--help` answers at once. In: the options of one command line. Out: a call of a job, of the
server or of the store, and its outcome printed. Called by `app/cli/main.py`, which lists them.

`serving/` starts processes that answer; `making/` computes with a model; `store/` looks after what
is kept.
"""
