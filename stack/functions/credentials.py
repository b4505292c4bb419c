"""Owns what is secret about the functions of one local stack: made once, at random, and kept in the state folder.

Nothing outside the loopback interface ever takes them; they are real so that signatures and passwords are checked.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
MASTER: Final = "postgres"
"""The role that a secret has the password of, as the master user of an Aurora cluster."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What functions sign and log in with."""

    access_key: str
    secret_key: str
    master_password: str

    @classmethod
    def of(cls, root: Path) -> Self:
        """Return those of a state folder, made at the first time; only its owner can read them."""
        file = root / "functions.json"
        if not file.exists():
            root.mkdir(parents=True, exist_ok=True)
            made = cls(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30), secrets.token_urlsafe(24))
            partial = file.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                json.dump(asdict(made), handle)
            partial.replace(file)
        return cls(**json.loads(file.read_text()))
