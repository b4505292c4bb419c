"""A module whose import fails."""

message = "no DATABASE_URL"
raise ValueError(message)
