"""Long work that a command starts: it shows progress, can be interrupted, and resumes.

In: a specification that a command has read. Out: rows in the store and files. Called by the
command line only; never imports a page.
"""
