"""Owns the start of the whole stack: checks, downloads, the steps with their order, and the bars a person watches."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stack import connect, dynamodb, engines, kafka, maven, pipeline, postgres, registry
from stack.errors import StackError
from stack.functions import services as functions
from stack.local import LocalStack
from stack.settings import HOST, StackSettings


@dataclass(frozen=True, slots=True)
class Step:
    """Name one step of the start, what must be done before it, and the work itself."""

    name: str
    after: tuple[str, ...]
    work: Callable[[], None]


def bring_up(stack: LocalStack, console: Console) -> None:
    """Start everything and return once an event posted now reaches its filtered topic.

    On any failure, and on Ctrl-C, nothing is left running.

    Raises:
        StackError: A port is taken, an archive cannot be fetched, or a step fails.
    """
    check_ports(stack.settings)
    try:
        stack.state.create()
        with stack.state.locked():
            _fetch(stack, console)
            stack.open()
            _run(_steps(stack), stack, console)
            stack.settle()
    except BaseException:
        stack.cancelled.set()
        stack.close()
        raise


def check_ports(settings: StackSettings) -> None:
    """Refuse ports that somebody else uses.

    Raises:
        StackError: A port is taken; it names the port and its setting.
    """
    idle = settings.unused_ports
    for variable, port in settings.ports.items():
        if variable in idle:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise StackError(
                    f"Port {port} is in use ({error.strerror}).",
                    f"Stop what uses it, or set {variable} to a free port.",
                ) from error


def _fetch(stack: LocalStack, console: Console) -> None:
    cache = stack.settings.cache_dir
    if stack.settings.runs_registry and not registry.program(cache).exists():
        with console.status("  fetching the schema registry, once"):
            registry.unpacked(cache)
    jars = stack.missing_archives()
    if not jars:
        return
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        overall = progress.add_task(f"[bold]{len(jars)} Java archives, once", total=None)

        @contextmanager
        def report(name: str, size: int) -> Iterator[Callable[[int], None]]:
            task = progress.add_task(name, total=size)

            def advance(count: int) -> None:
                progress.advance(task, count)
                progress.advance(overall, count)

            yield advance
            progress.remove_task(task)

        maven.fetch(jars, stack.settings.cache_dir, report)
    console.print(f"  [green]✓[/] {len(jars)} Java archives fetched into the cache")


def _steps(stack: LocalStack) -> tuple[Step, ...]:
    settings = stack.settings

    def start(name: str) -> Callable[[], None]:
        return lambda: stack.start(name)

    steps = (
        Step("postgres", (), start("postgres")),
        Step("kafka", (), start("kafka")),
        Step("flink-jobmanager", (), start("flink-jobmanager")),
        Step("flink-taskmanager", (), start("flink-taskmanager")),
        Step("tables", ("postgres",), lambda: postgres.create_tables(settings)),
        Step("topics", ("kafka",), lambda: kafka.create_topics(settings)),
        Step("producer", ("tables",), start("producer")),
        *((Step(registry.SERVICE, ("kafka",), start(registry.SERVICE)),) if settings.runs_registry else ()),
        *_engine(stack),
        *(_functions(stack) if settings.functions else ()),
        # The job's program needs seconds to start Java and plan, so it starts at once and waits for the cluster itself.
        Step(pipeline.JOB_KEEPER, (), start(pipeline.JOB_KEEPER)),
    )
    described = stack.services()
    archives = [described[name].class_data for name in (*stack.wanted, *stack.helpers)]
    if all(archive is None or archive.exists() for archive in archives):
        return steps
    everything = tuple(step.name for step in steps)
    return (*steps, Step("class data, once", everything, stack.remember_classes))


def _engine(stack: LocalStack) -> tuple[Step, ...]:
    name = stack.engine
    if name != connect.SERVICE:
        asked = (registry.SERVICE,) if stack.settings.runs_registry else ()
        return (Step(name, ("tables", "topics", *asked), lambda: stack.start(name)),)
    return (
        Step(name, ("kafka",), lambda: stack.start(name)),
        Step("connector", (name, "tables", "topics"), lambda: engines.deploy(stack)),
    )


def _functions(stack: LocalStack) -> tuple[Step, ...]:
    """Return the steps that bring the functions up; databases and tables before what asks for them."""

    def start(name: str) -> Callable[[], None]:
        return lambda: stack.start(name)

    return (
        Step(functions.AWS, (), start(functions.AWS)),
        Step(dynamodb.SERVICE, (), start(dynamodb.SERVICE)),
        Step(functions.GATEWAY, ("postgres",), start(functions.GATEWAY)),
        Step(functions.LAMBDA, (functions.GATEWAY,), start(functions.LAMBDA)),
        Step(
            "function-stores",
            ("tables", dynamodb.SERVICE),
            lambda: functions.create_stores(stack.settings, stack.state),
        ),
        Step(functions.BRIDGE, ("function-stores",), start(functions.BRIDGE)),
        Step(functions.FOLLOWER, ("postgres", functions.AWS), start(functions.FOLLOWER)),
    )


def _run(steps: tuple[Step, ...], stack: LocalStack, console: Console) -> None:
    """Run each step in a thread of its own as soon as those before it are done."""
    futures: dict[str, Future[None]] = {}
    columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(max_workers=len(steps)) as pool:

        def perform(step: Step) -> None:
            for name in step.after:
                futures[name].result()
            task = progress.add_task(f"{step.name:<18}", total=1)
            step.work()
            progress.update(task, completed=1)

        try:
            for step in steps:
                futures[step.name] = pool.submit(perform, step)
            done, _waiting = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stack.cancelled.set()
            raise
