"""Features as one HTML file that needs no server.

In: features of the store. Out: a file with its style sheet inside. Called by the command `export`.
"""
