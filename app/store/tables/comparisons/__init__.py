"""Comparisons of dictionaries: their tables, what is written into them and read from them.

In: what the job computed, and questions of pages. Out: frozen values of `app/store/types`. Called
by `Store`, by publication, which brings a dictionary's recurrences up to date, and by the upkeep.
"""
