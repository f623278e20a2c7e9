"""Dictionaries in other programs' formats, in and out.

In: files of another program, or a dictionary of the store. Out: records for the store, or files
for another program: Neuronpedia (`neuronpedia/`), a browser (`html/`), SAELens (`saelens.py`).
Called by the commands `import` and `export`.
"""
