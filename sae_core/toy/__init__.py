"""Toy data whose true directions are known, to try training methods on.

In: a setting and a seed. Out: data, and for each architecture the dictionary that was trained on
them with the pairing of its decoder rows with the true directions. Called by the job behind the
command `toy`.
"""
