"""What people say of a feature, at /d/MODEL/DICTIONARY/NUMBER/labels: labels and comments.

In: forms and JSON. Out: the part of the feature's page that shows them, and JSON. Called by
`app/application.py`.
"""
