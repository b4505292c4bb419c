"""Owns the way from readings to figures: what a walsender's row filter costs, fitted, and the file for `--figures`."""

from collections.abc import Mapping
from datetime import date
from statistics import linear_regression, median
from typing import Any, Final

import tomli_w

from stack.scale.readings import Measured, Readings

_SOURCE: Final = "headwater sim scale --measure"


def walsender(readings: Readings) -> tuple[float, float, float]:
    """Return what a walsender with a row filter costs: microseconds for any event, more for one that passes.

    The line is fitted through the medians of the shards, and the filter that nothing passes.

    Returns:
        Both, and by which part of a reading the line misses it at most.
    """
    filtered = {shards: median(each) for shards, each in readings.walsender_us.items() if shards != 1}
    passing = [1 / shards if shards else 0.0 for shards in filtered]
    send, decode = linear_regression(passing, list(filtered.values()))
    misses = [
        abs(decode + send * part - reading) / reading
        for part, reading in zip(passing, filtered.values(), strict=True)
        if reading
    ]
    return decode, send, max(misses, default=0.0)


def as_figures(measured: Measured, today: date) -> dict[str, dict[str, Any]]:
    """Return the figures that were measured, in the form of `figures.toml`."""
    one, large = measured.one, measured.large
    (decode_one, send_one, _), (decode_large, send_large, _) = walsender(one), walsender(large)
    both = {
        "write_us": (measured.store_us, large.load_us, "µs"),
        "wal_bytes": (one.wal_bytes, large.wal_bytes, "B"),
        "stored_bytes": (one.stored_bytes, large.stored_bytes, "B"),
        "whole_us": (median(one.walsender_us[1]), median(large.walsender_us[1]), "µs"),
        "decode_us": (decode_one, decode_large, "µs"),
        "send_us": (send_one, send_large, "µs"),
        "engine_us": (one.engine_us, large.engine_us, "µs"),
        "broker_us": (one.broker_us, large.broker_us, "µs"),
    }
    single = {"consumer_us": (measured.consumer_us, "µs"), "record_bytes": (measured.record_bytes, "B")}
    origin: Mapping[str, Any] = {"kind": "measured", "source": _SOURCE, "date": today}
    found: dict[str, dict[str, Any]] = {
        name: {"value": round(value, 1), "large": round(more, 1), "unit": unit, **origin}
        for name, (value, more, unit) in both.items()
    }
    return found | {name: {"value": round(value, 1), "unit": unit, **origin} for name, (value, unit) in single.items()}


def as_toml(measured: Measured, today: date) -> str:
    """Return the file for `--figures`; what the figures come from stands above them."""
    lines = []
    for readings in (measured.one, measured.large):
        shards = ", ".join(
            f"{each or 'nothing'} {median(readings.walsender_us[each]):.1f} µs ({median(rates):,.0f}/s)"
            for each, rates in readings.walsender_rate.items()
        )
        *_, miss = walsender(readings)
        lost, repeated = max(readings.lost, 0), max(-readings.lost, 0)
        lines += [
            f"# Transactions of {readings.events}, walsender by shards: {shards}; the line misses by {miss:.0%}.",
            f"# Engine to Kafka {readings.drain_rate:,.0f}/s; lost {lost}, repeated {repeated}.",
        ]
    return "\n".join(lines) + "\n\n" + tomli_w.dumps(as_figures(measured, today))
