"""Evidence that stands up: what tells texts apart, with errors counted on texts that chose nothing.

In: activations, texts, outcomes. Out: figures with their intervals. Called by jobs and pages.
"""
