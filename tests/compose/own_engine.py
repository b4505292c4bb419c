"""Starts an engine of our own, uses it, stops it, and says as JSON what it saw: run by a test in a network of its own.

`unshare --net python -m tests.compose.own_engine IMAGE_FILE`: whatever else runs on the machine is neither met nor
disturbed there.
"""

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import docker
import httpx
import psutil

from tests.compose.engine import engine
from tests.compose.host_network import State
from tests.waiting import within

_SERVE = ["python3", "-m", "http.server", "--directory", "/etc", "8000"]
_ASK = "import urllib.request as r; print(r.urlopen('http://server:8000/hostname', timeout=5).read().decode())"


def _use(client: docker.DockerClient, image_file: Path) -> dict[str, str]:
    """Run two containers in a user's network; return what one hears of the other by name, and the host by its port."""
    (image,) = client.images.load(image_file.read_bytes())
    network = client.networks.create("cars")
    server = client.containers.run(
        image, _SERVE, name="server", hostname="served", network=network.name, ports={"8000/tcp": ("127.0.0.1", None)},
        detach=True,
    )  # fmt: skip
    server.reload()
    url = f"http://127.0.0.1:{server.ports['8000/tcp'][0]['HostPort']}/hostname"

    def heard() -> str | None:
        try:
            return httpx.get(url, timeout=2).text.strip()
        except httpx.HTTPError:
            return None

    by_port = within(heard, 30)
    by_name = client.containers.run(image, ["python3", "-c", _ASK], network=network.name, remove=True)
    return {"by_port": by_port, "by_name": by_name.decode().strip()}


def _processes() -> list[str]:
    """Return the commands in this network that belong to an engine."""
    own = Path("/proc/self/ns/net").readlink()
    found = []
    for process in psutil.process_iter(["name", "pid"]):
        name = process.info["name"]
        if name.startswith(("dockerd", "containerd", "docker-proxy")):
            try:
                network = Path(f"/proc/{process.pid}/ns/net").readlink()
            except OSError:
                continue
            found += [name] if network == own else []
    return found


def main() -> None:
    """Tell what an engine does while it runs and what is left of it."""
    os.environ.pop("DOCKER_HOST", None)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    before = State.now()
    with engine() as own, closing(own.client()) as client:
        told = {"host": own.host, "used": _use(client, Path(sys.argv[1])), "during": len(_processes())}
        told["changed"] = State.now() != before
    told["left"] = _processes()
    told["network"] = [_plain(before), _plain(State.now())]
    told["folder"] = Path(own.host.removeprefix("unix://")).parent.exists()
    sys.stdout.write(json.dumps(told))


def _plain(state: State) -> dict[str, object]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(state).items()}


if __name__ == "__main__":
    main()
