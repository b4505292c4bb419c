"""Owns what the measurement of the producer has found out: rates, ratios, losses, and how they are printed.

Must never know how a contestant is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table

from stack.producer_bench.contestants import Taken

HANDLER = "handler"
UNPREPARED = "handler_unprepared"
PREPARED = "pgbench_prepared"


@dataclass(slots=True)
class Series:
    """Hold the rounds of one contestant with one number of clients.

    Attributes:
        rates: Transactions a second, for each round.
        client_us: Microseconds of the client's processor time for each transaction, for each round.
        lost: Rows that are missing, over all rounds and the three tables: committed, and not there.
        duplicates: Rows that are too many.
        refused: Transactions that were not committed.
    """

    rates: list[float] = field(default_factory=list)
    client_us: list[float] = field(default_factory=list)
    lost: int = 0
    duplicates: int = 0
    refused: int = 0

    def note(self, taken: Taken, rows: Sequence[int]) -> None:
        """Add a round.

        Args:
            taken: What the contestant says.
            rows: How many rows each of the three tables then has.
        """
        self.rates.append(round(taken.rate, 1))
        self.client_us.append(round(taken.client_us, 1))
        self.refused += taken.refused
        self.lost += sum(max(0, taken.committed - count) for count in rows)
        self.duplicates += sum(max(0, count - taken.committed) for count in rows)

    @property
    def rate(self) -> float:
        """Return the median of the rounds."""
        return median(self.rates)


@dataclass(frozen=True, slots=True)
class ProducerReport:
    """Say how fast each contestant was.

    Attributes:
        found: By the number of clients, then by the contestant's name.
        server: The settings of PostgreSQL that a commit waits for, for all contestants alike.
        seconds: How long a run was.
    """

    found: Mapping[int, Mapping[str, Series]]
    server: Mapping[str, str]
    seconds: float

    @property
    def ok(self) -> bool:
        """Tell whether every row was there once, in every round."""
        return not any(each.lost or each.duplicates or each.refused for each in self._every())

    def _every(self) -> list[Series]:
        return [series for by_name in self.found.values() for series in by_name.values()]

    def ratio(self, clients: int, name: str, beside: str = PREPARED) -> float:
        """Return the median of the rounds' ratios: what is compared ran within seconds of each other."""
        one, other = (self.found[clients][each].rates for each in (name, beside))
        return round(median(mine / theirs for mine, theirs in zip(one, other, strict=True)), 3)

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        ratios: dict[str, object] = {}
        for clients in self.found:
            key = f"ratio_{_clients(clients, '_')}"
            ratios[key] = self.ratio(clients, HANDLER)
            ratios[f"{key}_unprepared"] = self.ratio(clients, UNPREPARED)
        return {
            **ratios,
            **{
                f"{clients}": {
                    name: {
                        "transactions_per_second": round(series.rate),
                        "client_us": median(series.client_us),
                        "rounds": series.rates,
                    }
                    for name, series in by_name.items()
                }
                for clients, by_name in self.found.items()
            },
            "lost": sum(each.lost for each in self._every()),
            "duplicates": sum(each.duplicates for each in self._every()),
            "refused": sum(each.refused for each in self._every()),
            "seconds": self.seconds,
            "server": dict(self.server),
            "ok": self.ok,
        }

    def show(self, console: Console) -> None:
        """Print one line for each contestant and number of clients."""
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("clients", justify="right")
        table.add_column("contestant")
        for heading in ("tx/s", "of pgbench prepared", "client µs", "lost", "duplicates", "rounds"):
            table.add_column(heading, justify="right")
        for clients, by_name in self.found.items():
            for name, series in by_name.items():
                table.add_row(
                    str(clients),
                    name.replace("_", " "),
                    f"{series.rate:,.0f}",
                    f"{self.ratio(clients, name):.2f}",
                    f"{median(series.client_us):.0f}",
                    str(series.lost),
                    str(series.duplicates),
                    " ".join(f"{rate:,.0f}" for rate in series.rates),
                )
        console.print(table)
        console.print("for all: " + ", ".join(f"{name} {value}" for name, value in self.server.items()), style="dim")


def _clients(count: int, between: str) -> str:
    return f"{count}{between}client{'s' if count != 1 else ''}"
