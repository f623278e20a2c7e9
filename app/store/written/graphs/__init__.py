"""Attribution graphs that somebody asked for, and what people put on them.

In: graphs of `sae_core/circuits`, titles, pins and groups. Out: frozen values of
`app/store/types/graphs.py`. Called by `Store` and the upkeep.
"""
