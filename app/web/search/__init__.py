"""Finding features by what is typed into the search box, whatever it is.

In: a text, and the dictionaries that it is looked for in. Out: hits in groups by kind, each with
the reason why it fits. Called by `app/pages/search` and `app/pages/steer`.
"""
