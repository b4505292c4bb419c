"""The stack of docker-compose.yml as a project of the test's own, run by the compose client as a user would."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import docker
from docker.models.containers import Container

from stack.ports import free_ports
from stack.settings import StackSettings

ROOT = Path(__file__).parents[2]

_UP_SECONDS = 1200
_OTHER_PORTS = ("HEADWATER_SCHEMA_REGISTRY_PORT", "HEADWATER_PROMETHEUS_PORT", "HEADWATER_GRAFANA_PORT")


class Project:
    """One project: its ports, its containers by service, and the commands.

    Args:
        name: The project's name, which all its containers, networks and volumes carry.
        compose: The compose client's command.
        files: The compose files.
        client: The engine.
        settings: The ports, as the command `headwater` has them too.
    """

    def __init__(
        self,
        name: str,
        compose: Sequence[str],
        files: Sequence[Path],
        client: docker.DockerClient,
        settings: StackSettings,
    ) -> None:
        self.name = name
        self.settings = settings
        self.client = client
        self.ports = dict(zip(_OTHER_PORTS, free_ports(len(_OTHER_PORTS)), strict=True))
        self._compose = [*compose, "--project-directory", str(ROOT)]
        for file in files:
            self._compose += ["-f", str(file)]

    @property
    def environment(self) -> dict[str, str]:
        """Return what the commands find in their environment; no profile but by their options."""
        ports = {variable: str(port) for variable, port in {**self.settings.ports, **self.ports}.items()}
        state = {"HEADWATER_STATE_DIR": str(self.settings.state_dir), "COMPOSE_PROJECT_NAME": self.name}
        return {**os.environ, **ports, **state}

    def compose(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a compose command."""
        done = subprocess.run(
            [*self._compose, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_UP_SECONDS,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done

    def headwater(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the `headwater` command against the published ports."""
        return subprocess.run(
            [sys.executable, "-m", "stack", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    def container(self, service: str) -> Container:
        """Return the container of a service."""
        (found,) = self.client.containers.list(
            all=True, filters={"label": [*self.labels, f"com.docker.compose.service={service}"]}
        )
        return found

    @property
    def labels(self) -> list[str]:
        """Return the label of whatever belongs to the project."""
        return [f"com.docker.compose.project={self.name}"]

    def containers(self) -> dict[str, Container]:
        """Return the containers by service, those that have ended among them."""
        found = self.client.containers.list(all=True, filters={"label": self.labels})
        return {each.labels["com.docker.compose.service"]: each for each in found}

    def healthy(self, service: str) -> bool:
        """Tell whether a service runs and its health check says so."""
        state = self.container(service).attrs["State"]
        return state["Running"] and state.get("Health", {}).get("Status") == "healthy"

    def kill(self, service: str) -> str:
        """Kill the first process of a service, as a crash does; return when it had been started."""
        container = self.container(service)
        state = container.attrs["State"]
        try:
            os.kill(state["Pid"], signal.SIGKILL)
        except (PermissionError, ProcessLookupError):
            # The engine is somebody else's, or elsewhere. It takes its own kill for a wish and would not start again.
            container.kill()
            container.start()
        return str(state["StartedAt"])

    def started(self, service: str) -> str:
        """Return when a service was started last."""
        return str(self.container(service).attrs["State"]["StartedAt"])

    def remains(self) -> list[str]:
        """Return whatever of the project the engine still knows: containers, networks, volumes."""
        labels = {"label": self.labels}
        return [
            *(each.name for each in self.client.containers.list(all=True, filters=labels)),
            *(each.name for each in self.client.networks.list(filters=labels)),
            *(each.name for each in self.client.volumes.list(filters=labels)),
        ]
