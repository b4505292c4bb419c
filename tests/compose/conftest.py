"""What the tests with containers share: an engine, the stand-ins of public images, and containers that go away."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
from docker.errors import ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from stack.settings import StackSettings
from tests.compose import override as overriding
from tests.compose.engine import Engine, NoEngineError, engine
from tests.compose.stand_ins import Builder, CannotBuildError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def container_engine() -> Iterator[Engine]:
    """The container engine, which the environment of children names; the test is skipped where there is none."""
    with ExitStack() as opened:
        try:
            found = opened.enter_context(engine())
        except NoEngineError as reason:
            pytest.skip(f"no container engine: {reason}")
        environment = opened.enter_context(pytest.MonkeyPatch.context())
        for name, value in found.environment.items():
            environment.setenv(name, value)
        yield found


@pytest.fixture(scope="session")
def compose_command(container_engine: Engine) -> tuple[str, ...]:
    """The compose client's command; the test is skipped where there is none."""
    return container_engine.compose or pytest.skip("no compose client: neither `docker compose` nor docker-compose")


@pytest.fixture(scope="session")
def docker_client(container_engine: Engine) -> Iterator[docker.DockerClient]:
    """A client of the engine."""
    with closing(container_engine.client()) as client:
        yield client


@pytest.fixture(scope="session")
def stand_in(docker_client: docker.DockerClient) -> Callable[[str], str]:
    """Tell the tag of an image by its short name: the stand-in, built when it is asked for, or the public one."""
    if overriding.public():
        return lambda name: _pulled(docker_client, overriding.PUBLIC[name])
    builder = Builder(docker_client, StackSettings().cache_dir)

    def image(name: str) -> str:
        try:
            return builder.image(name)
        except CannotBuildError as reason:
            pytest.skip(str(reason))

    return image


def _pulled(client: docker.DockerClient, tag: str) -> str:
    try:
        client.images.get(tag)
    except ImageNotFound:
        client.images.pull(tag)
    return tag


@pytest.fixture(scope="session")
def compose_files(stand_in: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The files to give to compose: the product's, and the override unless the public images are wanted."""
    product = ROOT / "docker-compose.yml"
    if overriding.public():
        return (product,)
    file = tmp_path_factory.mktemp("compose") / "override.yml"
    file.write_text(overriding.override(product, stand_in))
    return (product, file)


@pytest.fixture
def imitation() -> None:
    """For what only a stand-in does: refuse what it does not imitate."""
    if overriding.public():
        pytest.skip("the public images imitate nothing")


class Containers:
    """Containers of one module in a network of their own, where each is found by its name."""

    def __init__(self, client: docker.DockerClient, image: Callable[[str], str]) -> None:
        self._client = client
        self._image = image
        self._network: Network = client.networks.create(f"headwater-test-{uuid4().hex[:8]}")
        self._made: list[Container] = []

    def start(
        self,
        image: str,
        *command: str,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        publish: tuple[int, ...] = (),
        **more: Any,
    ) -> "Running":
        """Start a container of a stand-in; each published port gets a free one of 127.0.0.1."""
        container = self._client.containers.create(
            self._image(image),
            list(command) or None,
            environment=dict(environment or {}),
            ports={f"{port}/tcp": ("127.0.0.1", None) for port in publish},
            hostname=name,
            network=self._network.name,
            networking_config={self._network.name: self._client.api.create_endpoint_config(aliases=[name])}
            if name
            else None,
            **more,
        )
        self._made.append(container)
        container.start()
        return Running(container)

    def remove(self) -> None:
        """Remove every container with its volumes, and the network."""
        for container in self._made:
            with suppress(NotFound):  # a test may have removed it
                container.remove(force=True, v=True)
        self._network.remove()


class Running:
    """A container that was started."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def address(self, port: int) -> str:
        """Return `host:port` of a published port."""
        self.container.reload()
        (binding,) = self.container.ports[f"{port}/tcp"]
        return f"{binding['HostIp']}:{binding['HostPort']}"

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command inside; return its exit status and what it said."""
        status, output = self.container.exec_run(list(command))
        return status, output.decode()

    def succeeds(self, *command: str) -> bool:
        """Run a command inside; return whether it succeeded."""
        return self.run(*command)[0] == 0

    def user(self) -> int:
        """Return the number of the account that the first process runs as."""
        _, status = self.run("cat", "/proc/1/status")
        return int(next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1])

    def log(self) -> str:
        """Return what it has said so far."""
        return self.container.logs().decode()

    def exit_status(self, seconds: float = 60) -> int:
        """Wait until it has ended; return its exit status."""
        return int(self.container.wait(timeout=seconds)["StatusCode"])


@pytest.fixture(scope="module")
def containers(docker_client: docker.DockerClient, stand_in: Callable[[str], str]) -> Iterator[Containers]:
    """A maker of containers, removed after the module."""
    made = Containers(docker_client, stand_in)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def broker(containers: Containers) -> Running:
    """A broker `kafka:9092` that the host reaches by a published port; it may not answer yet."""
    return start_broker(containers)


def start_broker(containers: Containers, **environment: str) -> Running:
    """Start a broker and controller in one, with a listener for the network and one for the host."""
    given = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka:9092",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@kafka:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
        "KAFKA_HEAP_OPTS": "-Xmx320m",
    }
    return containers.start("kafka", name="kafka", environment=given | environment)
