"""The care of the slot: its identity, its standbys, the WAL that it holds back, and the end of a frozen engine."""
