"""The web process's side of the worker: questions asked once, answers remembered.

In: what a page wants to know. Out: answers and streams of `app/worker/protocol`. Called by pages
and `app/serving.py`; imports no torch.
"""
