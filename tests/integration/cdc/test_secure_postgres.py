"""PostgreSQL is reached over verified TLS, by both kinds of connection; what does not verify stops the engine."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme

from stack import postgres as embedded
from stack.ports import free_ports

PASSWORD = "open-sesame-7"  # of a server that lives for one module
BINARIES = (embedded.BINARIES, Path("/usr/lib/postgresql/15/bin"))
"""The embedded server is built without TLS; the one of the distribution has it."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the server's account may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="cdc-tls-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signed the server's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA, folder: Path) -> str:
    """The file of the authority's certificate."""
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> str:
    """The file of an authority that signed nothing here."""
    trustme.CA().cert_pem.write_to_path(str(folder / "stranger.pem"))
    return str(folder / "stranger.pem")


class SecureServer:
    """A PostgreSQL that takes nothing but TLS with a password."""

    def __init__(self, binaries: Path, folder: Path, authority: trustme.CA, trusted: str) -> None:
        self._port, self._trusted = free_ports(1)[0], trusted
        data, user = folder / "data", embedded.account()
        data.mkdir(mode=0o700)
        password, certificate = folder / "password", authority.issue_cert("127.0.0.1")
        password.write_text(PASSWORD)
        if user is not None:
            shutil.chown(data, user, user)
        initdb = ("initdb", "-U", "postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "-D", data)
        program = [binaries / initdb[0], *initdb[1:], f"--pwfile={password}"]
        subprocess.run(program, user=user, cwd="/", check=True, capture_output=True)
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        certificate.private_key_pem.write_to_path(str(data / "server.key"))
        certificate.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
        (data / "server.key").chmod(0o600)
        for name in ("pg_hba.conf", "server.key", "server.crt"):
            if user is not None:
                shutil.chown(data / name, user, user)
        given = {"ssl": "on", "wal_level": "logical", "unix_socket_directories": "", "fsync": "off"}
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        command = [binaries / "postgres", "-D", data, "-p", str(self._port), *options]
        with (folder / "postgres.log").open("wb") as log:
            self.process = subprocess.Popen(command, user=user, cwd="/", stdout=log, stderr=log)

    def dsn(self, database: str, **changes: str) -> str:
        """Return the URI of a database, the server's certificate verified by its name."""
        given = {"sslmode": "verify-full", "sslrootcert": self._trusted, **changes}
        query = "&".join(f"{name}={value}" for name, value in given.items() if name != "password")
        password = changes.get("password", PASSWORD)
        return f"postgresql://postgres:{password}@127.0.0.1:{self._port}/{database}?{query}"

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def speaks_tls(binaries: Path) -> bool:
    """Whether this build of the server has TLS."""
    if not (binaries / "postgres").exists():
        return False
    # A build without TLS has no ciphers by default.
    told = subprocess.run([binaries / "postgres", "--describe-config"], capture_output=True, check=True, text=True)
    return any(line.startswith("ssl_ciphers\t") and "\tnone\t" not in line for line in told.stdout.splitlines())


@pytest.fixture(scope="module")
def server(folder: Path, authority: trustme.CA, trusted: str, wait_until: Any) -> Iterator[SecureServer]:
    """The server, in place of the plain ones."""
    found = [each for each in BINARIES if speaks_tls(each)]
    if not found:
        pytest.skip(f"no PostgreSQL built with TLS in {' or '.join(map(str, BINARIES))}")
    made = SecureServer(found[0], folder, authority, trusted)
    try:
        wait_until(made.answers, "PostgreSQL answers over TLS")
        yield made
    finally:
        made.process.send_signal(signal.SIGQUIT)
        made.process.wait(30)


def test_both_connections_are_encrypted(database: Any, topic: Any, launch: Any, wait_until: Any) -> None:
    """Snapshot and stream arrive, and the server says that the walsender's connection is under TLS."""
    database.insert("before")
    engine = launch()
    engine.wait_for("streaming")
    database.insert("after")
    wait_until(lambda: len(topic.records()) == 2, "both records")
    encrypted = "SELECT s.ssl FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid)"
    assert database.run(encrypted) == [(True,)]
    assert engine.stop() == 0
    assert PASSWORD not in str(engine.log)


def test_a_database_with_an_unknown_authority_is_refused(
    database: Any, launch: Any, server: SecureServer, stranger: str
) -> None:
    """Nobody goes on over a connection that does not verify; the remedy names the setting."""
    engine = launch(DATABASE_URL=server.dsn(database.name, sslrootcert=stranger))
    stopped = engine.wait_for("stopped_by_error")
    assert (stopped["kind"], engine.exit_code()) == ("tls", 1)
    assert "sslrootcert" in stopped["remedy"]
    assert PASSWORD not in str(engine.log)


def test_a_wrong_database_password_stops_with_its_remedy(database: Any, launch: Any, server: SecureServer) -> None:
    """The same for PostgreSQL."""
    engine = launch(DATABASE_URL=server.dsn(database.name, password="not-the-password"))  # so it is
    stopped = engine.wait_for("stopped_by_error")
    assert (stopped["kind"], engine.exit_code()) == ("credentials", 1)
    assert "not-the-password" not in str(engine.log)
