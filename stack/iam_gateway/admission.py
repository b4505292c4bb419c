"""Who may log in, and by what.

Owns the rule of RDS: a role that is granted `rds_iam` logs in by a token and by nothing else. The master user has a
password, which the first login of a deployment needs; nobody else has one here. It asks the server about roles and
never about passwords.
"""

import hmac
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from stack.iam_gateway.settings import GatewaySettings
from stack.iam_gateway.token import TokenRefusedError, Verifier

IAM_ROLE: Final = "rds_iam"

# Who may only pass the role on is no member, as RDS's master user is none.
_MEMBERS = """
WITH RECURSIVE iam (member) AS (
  SELECT m.member FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
   WHERE r.rolname = %(iam)s AND NOT m.admin_option
  UNION
  SELECT m.member FROM pg_auth_members m JOIN iam ON m.roleid = iam.member WHERE NOT m.admin_option
)
SELECT EXISTS (SELECT FROM iam WHERE member = r.oid) FROM pg_roles r WHERE r.rolname = %(user)s
"""


class RefusedError(Exception):
    """A login that is refused: what the client is told, and why in truth, for the log."""

    def __init__(self, code: str, answer: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.answer = answer
        self.reason = reason


class UnusableServerError(Exception):
    """The server cannot stand for RDS; the text names the remedy."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Admit roles of one server."""

    settings: GatewaySettings
    verifier: Verifier

    async def prepare(self) -> None:
        """Make what an RDS server has from its first start: the role `rds_iam`, which the master user may grant.

        Raises:
            UnusableServerError: The master user does not exist.
            psycopg.Error: The server cannot be reached, or refuses.
        """
        master = self.settings.master_user
        async with await self._connect() as connection:
            found = await (
                await connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", (master,))
            ).fetchone()
            if found is None:
                raise UnusableServerError(
                    f"the server has no role {master}: create it, or set IAM_GATEWAY_MASTER_USER to one that exists"
                )
            iam = sql.Identifier(IAM_ROLE)
            there = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (IAM_ROLE,))
            if await there.fetchone() is None:
                await connection.execute(sql.SQL("CREATE ROLE {}").format(iam))
            if not found[0]:
                grant = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION")
                await connection.execute(grant.format(iam, sql.Identifier(master)))

    async def admit(self, user: str, password: bytes) -> str:
        """Return how the role was proved, `token` or `password`.

        Raises:
            RefusedError: It was not.
            psycopg.Error: The server cannot be asked.
        """
        if await self._takes_tokens(user):
            try:
                self.verifier.verify(password.decode(), user)
            except (TokenRefusedError, UnicodeDecodeError) as error:
                reason = str(error) if isinstance(error, TokenRefusedError) else "it is no text"
                raise RefusedError("28000", f'PAM authentication failed for user "{user}"', reason) from None
            return "token"
        if user != self.settings.master_user:
            raise RefusedError(
                "28000",
                f'role "{user}" is not permitted to log in through the gateway: grant {IAM_ROLE} to it and connect with'
                " a token, or connect as the master user",
                "neither a role with rds_iam nor the master user",
            )
        expected = self.settings.master_password.get_secret_value().encode()
        if not hmac.compare_digest(password, expected):
            raise RefusedError("28P01", f'password authentication failed for user "{user}"', "another password")
        return "password"

    async def _takes_tokens(self, user: str) -> bool:
        async with await self._connect() as connection:
            cursor = await connection.execute(_MEMBERS, {"iam": IAM_ROLE, "user": user})
            row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def _connect(self) -> psycopg.AsyncConnection[tuple[bool]]:
        given = self.settings
        return await psycopg.AsyncConnection.connect(
            host=given.upstream_host,
            port=given.upstream_port,
            user=given.upstream_user,
            dbname="postgres",
            connect_timeout=5,
            application_name="headwater-iam-gateway",
            autocommit=True,
        )
