"""Owns which jobs there are, by what the messages said so far, and the LSN behind which those messages must stay.

After a crash the server sends again what stands behind the confirmed LSN. So whatever is needed to know a job again
holds the confirmation back: its request, until a state lists it; the newest state that lists it; and its cancellation,
until its end is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cdc.backfill.messages import Cancel, End, Job, Notice, Outcome, Request, State
from cdc.lsn import Lsn


@dataclass(slots=True)
class Entry:
    """A job, where it must be read again from, and whether somebody wants it ended."""

    job: Job
    since: Lsn
    cancelled: bool = False


class Jobs:
    """The jobs that are not over, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._ended: set[str] = set()
        self._cancels: list[tuple[str, Lsn, Lsn]] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> Entry:
        """The job whose turn it is: those to be cancelled first, so that they hold nothing back."""
        return min(self._entries.values(), key=lambda entry: (not entry.cancelled, entry.job.asked_at))

    @property
    def hold(self) -> Lsn | None:
        """The LSN that must not be confirmed beyond; None when there is no job."""
        return min((entry.since for entry in self._entries.values()), default=None)

    def listed(self) -> tuple[Job, ...]:
        """Return the jobs as a state lists them."""
        return tuple(sorted((entry.job for entry in self._entries.values()), key=lambda job: job.asked_at))

    def notices(self, at_work: str | None, outcome: Outcome) -> list[Notice]:
        """Return how each job stands; the one at work stands as told, the others wait for their turn."""
        return [
            Notice(
                job.request.slot,
                job.request.id,
                outcome if job.request.id == at_work else Outcome.QUEUED,
                job.rows,
                round(job.seconds, 3),
            )
            for job in self.listed()
        ]

    def ask(self, request: Request, lsn: Lsn, since: Lsn) -> bool:
        """Take in a request, to be known again by who reads from `since` on; return whether it is a new one."""
        if request.id in self._entries or request.id in self._ended:
            return False
        self._entries[request.id] = Entry(Job(request, lsn, lsn), since)
        return True

    def cancel(self, cancel: Cancel, lsn: Lsn, since: Lsn) -> None:
        """Mark the jobs that were asked for before this cancellation and that it means."""
        self._cancels.append((cancel.target, lsn, since))
        self._apply_cancels(self._entries.values())

    def recall(self, state: State, since: Lsn) -> None:
        """Take in how far the jobs were in an earlier life."""
        for job in state.jobs:
            if job.request.id not in self._ended:
                self._entries[job.request.id] = Entry(job, since)
                self._apply_cancels([self._entries[job.request.id]])

    def stated(self, state: State, since: Lsn) -> None:
        """Note that this life's state has come round: what it lists can be known again from it."""
        for job in state.jobs:
            if (entry := self._entries.get(job.request.id)) is not None:
                entry.since = since
                self._apply_cancels([entry])

    def end(self, end: End) -> None:
        """Forget a job that is over."""
        self._entries.pop(end.request, None)
        self._ended.add(end.request)

    def _apply_cancels(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            request = entry.job.request
            for target, lsn, since in self._cancels:
                if target in (request.id, str(request.table)) and entry.job.asked_at < lsn:
                    entry.cancelled = True
                    entry.since = min(entry.since, since)
