"""The worker: the only process that holds the language model and torch.

Three rooms: `protocol`, the messages; `client`, the web process's side, without torch; `process`,
the worker itself. In: questions of pages and commands. Out: streams of events. Called by
`app/pages`, `app/web`, `app/serving.py` and, for the process, `python -m app.worker`.
"""
