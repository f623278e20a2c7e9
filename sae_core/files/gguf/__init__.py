"""GGUF files, in which llama.cpp keeps models, as ordinary model folders.

In: a GGUF file. Out: its header, checked before anything is read; a folder of weights, settings and
tokenizer that gives what the file gives. Called by jobs where somebody names such a file as the
model.
"""
