"""The prompt page as it is drawn.

In: answers of the prompt session. Out: values for the templates of `templates/prompt/view`.
Called by the routes of the prompt page.
"""
