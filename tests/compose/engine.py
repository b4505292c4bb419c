"""A container engine for the tests: the one that runs here, else one of our own, which leaves nothing behind.

Must never touch an engine that it did not start. Facts: dockerd(8), iptables(8).
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil

from tests.compose import host_network
from tests.waiting import within

DATA_ROOT_VARIABLE = "HEADWATER_TEST_DOCKER_ROOT"
"""Names a folder for the images of an engine of our own, which is kept, so that the next run builds none anew."""

_START_SECONDS = 60
_STOP_SECONDS = 60


class NoEngineError(Exception):
    """Say why there is no container engine."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine: where it listens, and the command of the compose client, empty where there is none."""

    host: str
    compose: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Return what a child needs in its environment to use this engine."""
        given = {"DOCKER_HOST": self.host}
        if not _succeeds("docker", "buildx", "version"):
            # Without the plugin, a client that prefers BuildKit refuses to build at all.
            given |= {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        return given

    def client(self) -> docker.DockerClient:
        """Return a client; the caller closes it. A build may be silent for minutes."""
        return docker.DockerClient(base_url=self.host, timeout=600)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _succeeds(*command: str) -> bool:
    return shutil.which(command[0]) is not None and _run(*command).returncode == 0


def _compose() -> tuple[str, ...]:
    """Return the compose client: the plugin, else the program of its own that Debian ships."""
    if _succeeds("docker", "compose", "version"):
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else ()


def _running() -> str | None:
    """Return the address of the engine that the docker client reaches, if it reaches one."""
    if _run("docker", "info", "--format", "{{.ServerVersion}}").stdout.strip() == "":
        return None
    context = _run("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    return os.environ.get("DOCKER_HOST") or context


def _rival() -> int | None:
    """Return the process of an engine in our network: a second one would take its bridge and its rules away."""
    network = Path("/proc/self/ns/net").readlink()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name() == "dockerd" and Path(f"/proc/{process.pid}/ns/net").readlink() == network:
                return process.pid
    return None


@contextmanager
def engine() -> Iterator[Engine]:
    """Give the running engine, or start one and stop it at the end.

    Raises:
        NoEngineError: There is none and none can be started.
    """
    if shutil.which("docker") is None:
        raise NoEngineError("there is no docker client")
    if (host := _running()) is not None:
        yield Engine(host, _compose())
        return
    missing = [program for program in ("dockerd", "iptables", "ip") if shutil.which(program) is None]
    if os.geteuid() != 0:
        raise NoEngineError("no engine answers, and only root can start one")
    if missing:
        raise NoEngineError(f"no engine answers, and to start one {' and '.join(missing)} is missing")
    if (rival := _rival()) is not None:
        raise NoEngineError(f"an engine runs (process {rival}) but does not answer: name its socket in DOCKER_HOST")
    # A short path: that of a socket is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="headwater-docker-", dir="/tmp") as folder:
        kept = os.environ.get(DATA_ROOT_VARIABLE)
        with _own(Path(folder), Path(kept) if kept else Path(folder) / "root") as own:
            yield own


@contextmanager
def _own(folder: Path, data: Path) -> Iterator[Engine]:
    """Start an engine in a folder, and stop it by its own process."""
    before = host_network.State.now()
    log = folder / "log"
    listening = folder / "docker.sock"
    host = f"unix://{listening}"
    network = host_network.free_range(host_network.used_ranges())
    if network is None:
        raise NoEngineError("no private range is free for the engine's network")
    (folder / "daemon.json").write_text("{}")  # not the machine's own, which may say anything
    command = ["dockerd", f"--config-file={folder}/daemon.json", f"--data-root={data}", f"--exec-root={folder}/exec"]
    command += [f"--host={host}", f"--pidfile={folder}/docker.pid", f"--bip={network[1]}/24"]
    command += [f"--default-address-pool=base={network},size=24"]
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        within(lambda: _answers(listening) or daemon.poll() is not None, _START_SECONDS)
        if not _answers(listening):
            raise NoEngineError(f"dockerd does not start: {' | '.join(log.read_text().splitlines()[-5:])}")
        _forget_old_images(host)
        yield Engine(host, _compose())
        _remove_containers(host)
    finally:
        daemon.terminate()
        try:
            daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        within(lambda: not _processes_in(folder), _STOP_SECONDS)
        if _rival() is None:  # else what has come since may be the other one's
            before.restore()


def _remove_containers(host: str) -> None:
    with closing(docker.DockerClient(base_url=host, timeout=60)) as client:
        for container in client.containers.list(all=True):
            container.remove(force=True, v=True)
        client.networks.prune()


def _forget_old_images(host: str) -> None:
    """In a folder that is kept, let what earlier builds have left go after a day."""
    with closing(docker.DockerClient(base_url=host, timeout=60)) as client:
        client.images.prune(filters={"dangling": True, "until": "24h"})


def _answers(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(path))
        link.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in link.recv(64)
    return False


def _processes_in(folder: Path) -> list[int]:
    """Return the processes that name the folder in their command line: containerd and its shims."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()):
                found.append(process.pid)
    return found
