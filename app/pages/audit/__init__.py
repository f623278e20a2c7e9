"""Pages of evidence about features, one room each: `contrast`.

In: the store. Out: HTML and JSON. Called by `app/application.py`.
"""
