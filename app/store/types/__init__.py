"""What goes into the store and comes out of it: frozen types without queries.

Called by everything that reads or writes the store.
"""
