"""Owns the life of a filter from its first line to its removal: approved, deployed, changed, taken back, cleaned up.

The filter file is the source of truth (FL-1); what runs is known from the cluster and from the record kept beside the
plans. `states` says what may follow what, `file` is the one writer, `records` what ran, `differences` compares, and
`deployment`, `rollback` and `cleanup` act. Must never print.
"""
