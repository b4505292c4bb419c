"""Owns the measurement of callbacks: how long `aws_lambda.invoke` takes in many sessions, and what it gets wrong.

Each session calls a warm function again and again, at random moments of a given rate or without a pause; every answer
is compared with what was sent. Must never print.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from stack.errors import StackError
from stack.local import LocalStack
from stack.percentiles import nearest_rank
from stack.ports import free_ports
from stack.settings import HOST

_READY_SECONDS = 60
_WARM_CALLS = 5
_CALL = "SELECT payload FROM aws_lambda.invoke(aws_commons.create_lambda_function_arn('echo'), %s::jsonb)"


@dataclass(slots=True)
class Load:
    """Hold one kind of load and what its rounds have shown; times in milliseconds.

    Attributes:
        name: As it is reported.
        rate: Calls a second of all sessions together; None: each calls again at once.
        p50: The median of each round.
        p99: The 99th percentile of each round.
        reached: Calls a second that were made, for each round.
    """

    name: str
    rate: float | None
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)
    lost: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class CallbackReport:
    """Say how long callbacks took, and how many had no answer or a wrong one."""

    sessions: int
    calls: int
    loads: tuple[Load, ...]

    @property
    def ok(self) -> bool:
        """Tell whether every call had its own answer."""
        return not any(each.lost or each.wrong for each in self.loads)

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        loads = {
            each.name: {
                "p50_ms": median(each.p50),
                "p99_ms": median(each.p99),
                "calls_per_second": round(median(each.reached)),
                "rounds": {"p50_ms": each.p50, "p99_ms": each.p99},
                "lost": each.lost,
                "wrong": each.wrong,
            }
            for each in self.loads
        }
        return {"sessions": self.sessions, "calls": self.calls, **loads, "ok": self.ok}

    def show(self, console: Console) -> None:
        """Print one line for each load."""
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("load")
        for heading in ("calls/s", "p50 ms", "p99 ms", "lost", "wrong", "rounds p50 / p99"):
            table.add_column(heading, justify="right")
        for each in self.loads:
            rounds = ", ".join(f"{p50} / {p99}" for p50, p99 in zip(each.p50, each.p99, strict=True))
            numbers = (round(median(each.reached)), median(each.p50), median(each.p99), each.lost, each.wrong)
            table.add_row(each.name, *map(str, numbers), rounds)
        console.print(table)


def run(stack: LocalStack, sessions: int, calls: int, rounds: int, rate: float) -> CallbackReport:
    """Let sessions call a warm function, at a rate and then without a pause, as often as there are rounds.

    Args:
        stack: A stack with nothing running.
        sessions: How many call at the same time.
        calls: How many calls a round has, of all sessions together.
        rounds: How many rounds are measured of each load, in turn, after one to warm up.
        rate: Calls a second of all sessions together.

    Raises:
        StackError: A part does not start.
    """
    stack.start("postgres")
    url = stack.settings.database_url.rsplit("/", 1)[0] + "/postgres"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS aws_lambda CASCADE")
    loads = (Load("paced", rate), Load("no_pause", None))
    with _running(stack, url, sessions):
        for turn in range(rounds + 1):
            for load in loads:
                asyncio.run(_Round(url, sessions, calls).measure(load, counts=turn > 0))
    return CallbackReport(sessions, calls, loads)


@contextmanager
def _running(stack: LocalStack, url: str, sessions: int) -> Iterator[None]:
    """Run the Lambda service and a bridge."""
    folder = Path(stack.state.root)
    (port,) = free_ports(1)
    config = folder / "bench-lambdas.toml"
    config.write_text(
        f'port = {port}\nconcurrency = {max(32, sessions)}\nlog_level = "warning"\n'
        '[functions.echo]\nhandler = "stack.echo_function.handler"\n'
    )
    environment = {**os.environ, "DATABASE_URL": url, "AWS_ENDPOINT_URL_LAMBDA": f"http://{HOST}:{port}"}
    environment["LOG_LEVEL"] = "warning"
    processes = []
    try:
        for module in (("stack.lambdas", "--config", str(config)), ("callbacks.bridge",)):
            log = folder / f"bench-{module[0]}.log"
            with log.open("w") as file:
                command = [sys.executable, "-m", *module]
                processes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file))
        _await_bridge(stack, url, processes, folder)
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _await_bridge(stack: LocalStack, url: str, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT aws_lambda.bridge_running()").fetchone() != (True,):
            ended = any(process.poll() is not None for process in processes)
            if ended or time.monotonic() > deadline or stack.cancelled.wait(0.05):
                raise StackError("The bridge does not start.", f"See {folder / 'bench-callbacks.bridge.log'}.")


class _Round:
    """Let all sessions call as often as a round has it."""

    def __init__(self, url: str, sessions: int, calls: int) -> None:
        self._url = url
        self._sessions = sessions
        self._each = max(1, calls // sessions)
        self._times: list[float] = []

    async def measure(self, load: Load, *, counts: bool) -> None:
        together = asyncio.Barrier(self._sessions)
        began = time.perf_counter()
        scratch = Load(load.name, load.rate)
        target = load if counts else scratch
        await asyncio.gather(*(self._session(number, target, together) for number in range(self._sessions)))
        took = time.perf_counter() - began
        if len(self._times) < 2:
            raise StackError("Callbacks have no answer.", "Look at the logs of the bridge and the Lambda service.")
        ordered = sorted(self._times)
        target.p50.append(round(nearest_rank(ordered, 0.5) * 1000, 2))
        target.p99.append(round(nearest_rank(ordered, 0.99) * 1000, 2))
        target.reached.append(round(self._sessions * (self._each + _WARM_CALLS) / took))

    async def _session(self, session: int, load: Load, together: asyncio.Barrier) -> None:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await together.wait()
            for number in range(-_WARM_CALLS, self._each):
                if load.rate is not None:
                    await asyncio.sleep(random.expovariate(load.rate / self._sessions))
                event = {"session": session, "number": number, "text": json.dumps(load.name)}
                began = time.perf_counter()
                try:
                    row = await (await connection.execute(_CALL, (Jsonb(event),))).fetchone()
                except psycopg.Error:
                    load.lost += 1
                    continue
                if number >= 0:
                    self._times.append(time.perf_counter() - began)
                load.wrong += row != (event,)
