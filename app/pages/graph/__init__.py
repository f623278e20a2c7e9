"""Attribution graphs at /m/MODEL/graph: what a prediction is made of, drawn and in a table.

In: a request, the store, and the worker's graphs. Out: HTML, streams, JSON, and files. Called by
`app/application.py`.
"""
