"""Files on disk and on the Hugging Face Hub, read and written safely.

In: paths and names. Out: tensors, settings, checksums, and files that appear whole or not at all.
Called by every room of `sae_core` and by jobs; imports no other room.
"""
