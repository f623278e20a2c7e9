"""Commands that compute: harvests, trainings, sweeps, evaluations, and checks of their results.

In: options that name models, dictionaries and texts. Out: one call of a job of `app/jobs`. Called
by `app/cli/main.py`.
"""
