"""What every page leans on: the site, the addressed model, errors, headers, live streams.

In: requests. Out: the parts of an answer that no page writes for itself. Called by `app/pages`
and `app/application.py`; imports no page.
"""
