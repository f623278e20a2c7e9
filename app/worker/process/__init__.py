"""The worker itself: the only process with the model and torch.

In: requests of `app/worker/protocol` over HTTP. Out: its events, one JSON document a line.
Started by `python -m app.worker`; knows neither the store nor any page.
"""
