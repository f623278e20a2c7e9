"""The interface of OpenAI's API at /v1, for clients and evaluation harnesses that speak it.

In: a chat or text completion as OpenAI's API has it, with `featurescope` in its body for steering
and for what is watched; the worker's events. Out: completions, whole or streamed, with
log-probabilities, and errors in that API's form. Called by `app/application.py`.
"""
