"""The map of a dictionary at /d/MODEL/DICTIONARY/map: all its features at once.

In: a request and the store. Out: HTML, JSON, and places and colours as bytes. Called by
`app/application.py`.
"""
