"""Pages of evidence about features, one room each: `contrast`, `experiments`.

In: the store. Out: HTML and JSON. Called by `app/application.py`.
"""
