"""The pages, a room for each kind of address, all alike inside.

`routes` answers with HTML, `api` with JSON, `schema` holds the types of the JSON, and what is left
works an answer out. In: requests. Out: HTML, fragments of it, and JSON. Called by
`app/application.py`, which maps addresses to rooms.
"""
