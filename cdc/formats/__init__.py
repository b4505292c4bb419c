"""How keys and values of records become bytes; what they say is `cdc.envelope`'s to decide."""
