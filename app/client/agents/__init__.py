"""Featurescope for agents: the Model Context Protocol over the JSON interface.

In: a client of a running server, and questions of an agent. Out: answers with address and digest,
bounded, texts marked as data. Called by the command `mcp`.
"""
