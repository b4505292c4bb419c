"""Owns how a stack's status is printed for a person."""

from rich.table import Table

from stack import status as status_report
from stack.lags import Lag
from stack.local import LocalStack
from stack.terminal import page


def print_status(stack: LocalStack) -> None:
    """Print its services, jobs and consumer groups on standard output."""
    report = status_report.inspect(stack)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("service", "state", "pid", "restarts", "endpoint"):
        table.add_column(heading)
    for one in (*report.services, *report.helpers):
        colour = "green" if one.state == "running" else "red" if one.state == "stopped" else "yellow"
        table.add_row(
            one.name, f"[{colour}]{one.state}[/]", str(one.pid or "-"), str(one.restarts), one.endpoint or "-"
        )
    out = page()
    out.print(table)
    for job in report.jobs:
        if job.state not in ("CANCELED", "FINISHED"):
            out.print(f"job {job.line}", soft_wrap=True)
    if report.consumers:
        out.print(_lag_table(report.consumers))
    jobs = "" if any(job.state == "RUNNING" for job in report.jobs) else " no job runs;"
    out.print(f"stack {report.state};{jobs} {report.memory_bytes / 1e9:.2f} GB of memory")


def _lag_table(consumers: tuple[Lag, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("consumer group", "topic", "members", "lag"):
        table.add_column(heading, justify="right" if heading in ("members", "lag") else "left", no_wrap=True)
    for one in consumers:
        table.add_row(one.group, one.topic, str(one.members), f"{one.lag:,}")
    return table
