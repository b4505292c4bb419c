"""Why a request is refused: its sender's faults, each with its reason as text.

A failure of the database is none of these, nor is a fault of ours.
"""


class RefusedError(Exception):
    """The request is at fault; `str` is the reason, fit for an answer."""


class NotJsonError(RefusedError):
    """The body is not JSON in UTF-8 (EV-19)."""


class StructureError(RefusedError):
    """The body does not have the structure of an event, or holds what PostgreSQL cannot store (EV-20)."""


class ContentError(RefusedError):
    """The structure is right and something the event must say is missing (EV-21 to EV-23)."""


class SchemaError(RefusedError):
    """The validator found the event invalid (EV-46)."""

    def __init__(self, details: tuple[dict[str, str], ...], version: str) -> None:
        said = "; ".join(f"{fault['field']} {fault['message']}" for fault in details)
        super().__init__(f"Schema validation failed: {said}")
        self.details = details
        self.version = version
