"""The first stage: an HTTP event becomes one PostgreSQL transaction."""
