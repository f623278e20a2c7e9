"""Commands that make results: harvests, trainings, sweeps.

In: options that name models, dictionaries and texts. Out: one call of a job of `app/jobs`. Called
by `app/cli/main.py`.
"""
