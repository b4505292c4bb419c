"""The job in a session cluster: the way in and out, what is on disk about it, the watch over it, and how it does.

A plan comes in from `flink_jobs.plan`; nothing here makes SQL.
"""
