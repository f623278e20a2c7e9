"""What the worker can do, one module a job.

In: a request and the loaded model. Out: a generator of events, advanced step by step. Called by
the scheduler through `registry.py`.
"""
