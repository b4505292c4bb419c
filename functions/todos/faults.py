"""What can go wrong, apart from any store and from HTTP."""


class StoreUnavailableError(Exception):
    """A store did not answer; nobody can tell whether a write has happened. The text may be shown to callers."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"The {store} store cannot be reached")
        self.store = store
        self.reason = reason
        """For the log, without any credential."""


class EmailTakenError(Exception):
    """Another user has this address, in whatever case (LC-128)."""


class KeyReusedError(Exception):
    """An Idempotency-Key came again with another content."""
