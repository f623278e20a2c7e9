"""Evidence about what features do, by name, until it is forgotten.

In: what jobs measured. Out: the same. Called by `Store`, whose `audit` is `AuditRecords`.
"""
