"""The whole loop of the engine against a simulated server and broker: any crash, anywhere, from one integer seed.

Real are `Relay`, `Ledger`, `Capture`, `Floors`, the reading back of the topics' ends and the retry policy. Simulated
are the database with its slot, the broker with its producer's client, and the clock. Nothing here does I/O.
"""
