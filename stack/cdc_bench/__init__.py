"""Owns `headwater bench cdc`: our engine and Debezium, in turn under the same load, and what limits both."""
