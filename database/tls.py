"""How a connection to Aurora or RDS Proxy is protected.

Owns that certificates are verified unless somebody says otherwise for a database of their own machine (LC-11, LC-92).
"""

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class TlsSettings(BaseSettings):
    """Read how to verify the server.

    `DB_SSL_ROOT_CERT` is a file with the certificate authorities to trust, such as Amazon's bundle for RDS, or `system`
    (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html). `DB_SSL_MODE=disable` is for a local
    database that has no certificate.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    db_ssl_mode: Literal["verify-full", "disable"] = "verify-full"
    db_ssl_root_cert: str = "system"

    def parameters(self) -> dict[str, str | int]:
        """Return the libpq parameters (https://www.postgresql.org/docs/current/libpq-ssl.html)."""
        if self.db_ssl_mode == "disable":
            return {"sslmode": "disable"}
        return {"sslmode": self.db_ssl_mode, "sslrootcert": self.db_ssl_root_cert}
