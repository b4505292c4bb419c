"""What is checked before anything starts."""

import socket
from pathlib import Path

import pytest
import requests
from jgo.maven import PythonResolver

from stack import maven
from stack.errors import StackError
from stack.settings import StackSettings
from stack.up import check_ports


def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    """The reader learns which variable moves the service elsewhere."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"Port {port} .*HEADWATER_PRODUCER_PORT"):
            check_ports(StackSettings(state_dir=tmp_path, producer_port=port, **_free_ports(exclude="producer_port")))


def _free_ports(exclude: str) -> dict[str, int]:
    names = [name for name in StackSettings.model_fields if name.endswith("_port") and name != exclude]
    sockets = [socket.socket() for _ in names]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    finally:
        for each in sockets:
            each.close()


def test_every_port_can_be_set_by_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names in an error are the names that work."""
    for number, variable in enumerate(StackSettings().ports):
        monkeypatch.setenv(variable, str(20000 + number))
    assert sorted(StackSettings().ports.values()) == [20000 + number for number in range(len(StackSettings().ports))]


def test_every_listed_archive_has_coordinates_and_a_checksum() -> None:
    """Nothing gets on a class path without a sha256 of 64 hexadecimal digits."""
    for name in ("kafka", "flink-kafka", "connect-debezium"):
        for jar in maven.bundle(name):
            assert jar.coordinates.count(":") == 2
            assert len(bytes.fromhex(jar.sha256)) == 32


def test_an_archive_with_other_bytes_never_reaches_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed download is refused and leaves nothing behind that looks fetched."""

    def download(_resolver: object, artifact: object) -> Path:
        target: Path = artifact.cached_path  # type: ignore[attr-defined]
        target.parent.mkdir(parents=True)
        target.write_bytes(b"not the archive")
        return target

    monkeypatch.setattr(PythonResolver, "download", download)
    jar = maven.bundle("flink-kafka")[0]
    with pytest.raises(StackError, match="sha256"):
        maven.fetch((jar,), tmp_path, maven.silent)
    assert maven.missing(("flink-kafka",), tmp_path) == (jar,)


def test_no_network_is_an_error_that_names_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection the first start says what it could not fetch."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise requests.ConnectionError

    monkeypatch.setattr("jgo.maven._resolver.http.get", refuse)
    with pytest.raises(StackError, match="flink-sql-connector-kafka"):
        maven.fetch(maven.bundle("flink-kafka"), tmp_path, maven.silent)
