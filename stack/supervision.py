"""Owns supervisord: writes its configuration, starts it, asks it, stops it. Facts: supervisor 4 manual.

supervisord restarts what dies, one second later after each failed start; `stack.restarts` counts that. Nothing else in
the project starts a long-lived process.
"""

import hashlib
import http.client
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from stack.errors import StackError
from stack.service import Service
from stack.state import State

MARK = "HEADWATER_STACK"
"""Environment variable of every process of a stack, holding its state folder: finds what a killed supervisord left."""

_ANSWER_SECONDS = 20

_PROGRAM = """
[program:{name}]
command={command}
directory={directory}
environment={environment}
autostart=false
autorestart=true
startsecs=1
startretries=1000000
stopsignal={stop_signal}
stopwaitsecs={stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""

_HEAD = """
[supervisord]
nodaemon=true
silent=true
logfile={log}
pidfile={pid}
childlogdir={logs}
strip_ansi=true

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[group:stack]
programs={programs}

[eventlistener:restarts]
command={recorder}
events=PROCESS_STATE_STARTING
stdout_logfile=NONE
stderr_logfile={logs}/restarts.log
"""


@dataclass(frozen=True, slots=True)
class Process:
    """Say how one supervised process does: `state` is supervisord's own word, such as RUNNING or BACKOFF."""

    name: str
    state: str
    pid: int


class _Connection(http.client.HTTPConnection):
    """Speak to a Unix socket, and give up on a supervisor that does not answer."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_SECONDS)
        self.sock.connect(str(self._path))


class Supervisor:
    """Run the services of one state folder.

    Args:
        state: The state folder.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._pid_file = state.run / "supervisord.pid"
        # A Unix socket's path is limited to 107 bytes, and state folders may be deep.
        digest = hashlib.sha256(str(state.root).encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"headwater-{os.geteuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._socket = folder / f"{digest}.sock"

    @property
    def alive(self) -> bool:
        """Tell whether supervisord answers."""
        try:
            self._call("getState")
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def launch(self, services: Sequence[Service]) -> "subprocess.Popen[bytes]":
        """Start supervisord with these services known and none of them running.

        It gets a session of its own: a Ctrl-C in the terminal reaches only the command that waits for it, which then
        stops the services in order.
        """
        configuration = self._state.run / "supervisord.conf"
        configuration.write_text(self._configuration(services))
        self._state.starts.unlink(missing_ok=True)
        with (self._state.logs / "supervisord.out").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", configuration],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {MARK: str(self._state.root)},
                start_new_session=True,
                cwd=self._state.root,
            )

    def start(self, name: str) -> None:
        """Start one service without waiting for it."""
        self._call("startProcess", f"stack:{name}", False)

    def stop(self, name: str) -> None:
        """Stop one service without waiting; services that do not need each other stop side by side."""
        self._call("stopProcess", f"stack:{name}", False)

    def processes(self) -> dict[str, Process]:
        """Return every service by name; empty when supervisord does not run."""
        try:
            rows = self._call("getAllProcessInfo")
        except (OSError, xmlrpc.client.Error):
            return {}
        return {
            row["name"]: Process(row["name"], row["statename"], row["pid"]) for row in rows if row["name"] != "restarts"
        }

    def shutdown(self) -> None:
        """Stop every service and supervisord itself."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._socket}")
        transport._get_connection = lambda: _Connection(self._socket)  # noqa: SLF001  # its own one waits for ever
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def _configuration(self, services: Sequence[Service]) -> str:
        head = _HEAD.format(
            log=_plain(self._state.logs / "supervisord.log"),
            logs=_plain(self._state.logs),
            pid=_plain(self._pid_file),
            socket=_plain(self._socket),
            # One group: supervisord takes about a second to leave for each group that it knows.
            programs=",".join(service.name for service in services),
            recorder=_command([sys.executable, "-m", "stack.restarts", str(self._state.starts)]),
        )
        return head + "".join(self._program(service) for service in services)

    def _program(self, service: Service) -> str:
        text = _PROGRAM.format(
            name=service.name,
            command=_command(service.command),
            directory=_plain(service.directory or self._state.root),
            environment=",".join(f"{name}={_quoted(value)}" for name, value in service.environment.items()),
            stop_signal=service.stop_signal,
            stop_seconds=service.stop_seconds,
            log=_plain(self._state.logs / f"{service.name}.log"),
        )
        return text + (f"user={service.user}\n" if service.user else "")


def leftovers(state: State) -> list[psutil.Process]:
    """Return the processes of this stack, whoever is their parent now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(state.root) and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _plain(value: object) -> str:
    """Escape a value for supervisord's configuration file; refuse what that format cannot hold."""
    text = str(value)
    if any(sign in text for sign in ("\n", " ;", " #", "\t;", "\t#")):
        raise StackError(
            f"The supervisor's configuration cannot hold {text!r}.",
            "Use a folder whose path has no line break, and no ';' or '#' after a space.",
        )
    return text.replace("%", "%%")


def _command(arguments: Sequence[str]) -> str:
    return _plain(shlex.join(arguments))


def _quoted(value: str) -> str:
    # supervisord strips one kind of quote and knows no escapes.
    quote = "'" if '"' in value else '"'
    if quote in value:
        raise StackError(f"The setting {value!r} holds both kinds of quotes.", "Remove one kind.")
    return _plain(f"{quote}{value}{quote}")
