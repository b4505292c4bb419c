"""The incremental snapshot: rows of a table read while its changes stream, asked for by a message in the WAL."""
