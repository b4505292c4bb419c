"""Owns the options of `headwater bench cdc` and what they make of the plan. Starts nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, get_args

import typer

from stack.cdc_bench.plan import (
    CONTENDERS,
    PACES,
    QUICK_PACES,
    QUICK_SHAPES,
    SHAPES,
    Compression,
    Contender,
    Pace,
    Plan,
    Shape,
)
from stack.cdc_bench.report import CdcReport

_Name = TypeVar("_Name", bound=str)


def plan(  # noqa: PLR0913  # the options of one command
    *, shapes: str, transactions: int | None, events: int | None, size: int, engines: str, rounds: int | None,
    latency: bool, seconds: int | None, highest_rate: int, compression: str, quick: bool,
) -> Plan:  # fmt: skip
    """Return what the options ask for.

    Args:
        shapes: Names of the shipped shapes, separated by commas; of no account when a shape is given.
        transactions: How many transactions a shape of the user's own has.
        events: How many events each of them has.
        size: About how many bytes a record's value has.
        engines: Names of contenders, separated by commas.
        rounds: How often; None for three, or one when it is to be quick.
        latency: Whether to follow open loops.
        seconds: How long each of them is followed; None for what is shipped.
        highest_rate: The highest rate of one.
        compression: Of every producer.
        quick: Small sizes.

    Raises:
        typer.BadParameter: A name is unknown, or the limit is asked for without our engine, whose backlog it takes.
    """
    shipped = QUICK_SHAPES if quick else SHAPES
    if transactions is None and events is None:
        chosen = [shipped[name] for name in _names(shapes, tuple(shipped), "--shapes")]
    else:
        chosen = [Shape("custom", transactions or shipped["single"].transactions // (events or 1) or 1, events or 1)]
    contenders: Sequence[Contender] = _names(engines, CONTENDERS, "--engines")
    if "limit" in contenders and "native" not in contenders:
        raise typer.BadParameter("the limit takes the native engine's backlog: add native", param_hint="--engines")
    paces = QUICK_PACES if quick else PACES
    (squeezed,) = _names(compression, get_args(Compression), "--compression")
    return Plan(
        shapes=tuple(Shape(each.name, each.transactions, each.events, size) for each in chosen),
        contenders=tuple(each for each in CONTENDERS if each in contenders),
        rounds=rounds or (1 if quick else 3),
        paces=tuple(Pace(each.name, each.rate, seconds or each.seconds) for each in paces) if latency else (),
        highest_rate=highest_rate,
        compression=squeezed,
    )


def drawing(file: Path | None) -> Callable[[CdcReport], None]:
    """Return what draws a report into a file, or does nothing where none is given.

    Raises:
        typer.BadParameter: The file's suffix is not that of a form it can be drawn in, or its folder is not there.
    """
    if file is None:
        return lambda _report: None
    from stack.cdc_bench import plot  # noqa: PLC0415 - a large library, for who asks for it

    if file.suffix not in plot.SUFFIXES or not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"a file in a folder that exists, {' or '.join(plot.SUFFIXES)}", param_hint="--plot")
    return lambda report: plot.draw(report, file)


def _names(text: str, known: Sequence[_Name], option: str) -> list[_Name]:
    by_name = {str(each): each for each in known}
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in by_name]:
        raise typer.BadParameter(f"unknown: {', '.join(unknown)}; there are {', '.join(by_name)}", param_hint=option)
    return [by_name[name] for name in dict.fromkeys(names)]
