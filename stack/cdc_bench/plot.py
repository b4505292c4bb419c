"""Owns the drawing of a report: rates, latencies, processor time and memory. The only module that knows matplotlib."""

from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stack.cdc_bench.plan import Contender
from stack.cdc_bench.report import CdcReport

SUFFIXES: Final = (".png", ".svg")

_COLOURS: Final[dict[Contender, str]] = {
    "native": "tab:blue", "debezium": "tab:orange", "debezium_default": "tab:red", "limit": "tab:grey",
}  # fmt: skip
_LABELS: Final[dict[Contender, str]] = {
    "native": "native", "debezium": "Debezium tuned", "debezium_default": "Debezium as shipped", "limit": "limit",
}  # fmt: skip


def draw(report: CdcReport, file: Path) -> None:
    """Draw a report into a file whose suffix says how, one of `SUFFIXES`."""
    # A figure without pyplot: no window, no state that outlives it.
    figure = Figure(figsize=(13, 8), layout="constrained")
    (rates, latencies), (costs, memory) = figure.subplots(2, 2)
    _drains(rates, report, "rate", "backlog drain: records a second")
    for shape in report.plan.shapes:
        if rate := report.limit(shape.name).get("walsender"):
            place = [each.name for each in report.plan.shapes].index(shape.name)
            rates.hlines(rate, place - 0.45, place + 0.45, colors=_COLOURS["limit"], linestyles="dashed")
    rates.plot([], [], color=_COLOURS["limit"], linestyle="dashed", label=_LABELS["limit"])
    rates.legend()
    _latencies(latencies, report)
    _drains(costs, report, "cpu_seconds_per_million", "processor seconds for a million records")
    _drains(memory, report, "peak_rss_mb", "peak resident memory, MB")
    figure.suptitle(f"Medians ({report.plan.rounds} rounds); every producer idempotent, acks=all")
    figure.savefig(file)


def _drains(axes: Axes, report: CdcReport, figure: str, title: str) -> None:
    """Draw a group of bars for each shape."""
    contenders = [each for each in report.outcomes if each != "limit"]
    width = 0.8 / max(1, len(contenders))
    shapes = [each.name for each in report.plan.shapes]
    for number, contender in enumerate(contenders):
        places = [index - 0.4 + (number + 0.5) * width for index in range(len(shapes))]
        heights = [report.rate(contender, shape, figure) or 0 for shape in shapes]
        bars = axes.bar(places, heights, width, color=_COLOURS[contender], label=_LABELS[contender])
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    axes.set_xticks(range(len(shapes)), shapes)
    axes.set_title(title)


def _latencies(axes: Axes, report: CdcReport) -> None:
    """Draw the median, and the 99th percentile above it, against the pace."""
    paces = [each.name for each in report.plan.paces]
    for contender in report.outcomes:
        found = [(pace, times) for pace in paces if (times := report.latency(contender, pace))]
        places = [paces.index(pace) for pace, _times in found]
        colour = _COLOURS[contender]
        axes.plot(places, [times.p99 for _pace, times in found], "o-", color=colour, label=f"{_LABELS[contender]} p99")
        axes.plot(places, [times.p50 for _pace, times in found], "o:", color=colour, label="p50")
    axes.set_yscale("log")
    axes.set_xticks(range(len(paces)), [f"{pace}/s" if pace.isdigit() else pace for pace in paces])
    axes.set_title("intended start to consumer, ms")
    if paces:
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
