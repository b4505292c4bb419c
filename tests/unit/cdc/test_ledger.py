"""An LSN may be confirmed only when every record before it is acknowledged, in whatever order that happens."""

from hypothesis import given
from hypothesis import strategies as st

from cdc.ledger import Ledger, Limits, Span
from cdc.lsn import Lsn, Position
from cdc.records import Record, TopicName


def record(size: int = 10) -> Record:
    """Return a record of some size."""
    return Record(TopicName("raw"), b"k", b"x" * (size - 1), Position(Lsn(1), 4), [])


def test_nothing_in_flight_confirms_what_was_reached() -> None:
    """A keepalive or an empty transaction moves the slot on at once."""
    ledger = Ledger(Lsn(5), Limits())
    assert ledger.settle() == 5
    ledger.reach(Lsn(9))
    assert ledger.settle() == 9


def test_a_record_in_flight_holds_the_confirmation() -> None:
    """Reached is not acknowledged."""
    ledger = Ledger(Lsn(5), Limits())
    span = ledger.add(record().size)
    ledger.reach(Lsn(9))
    assert ledger.settle() == 5
    span.acknowledge()
    assert ledger.settle() == 9


def test_an_open_transaction_is_not_confirmed() -> None:
    """Its records may be acknowledged; its commit has not been reached."""
    ledger = Ledger(Lsn(5), Limits())
    ledger.add(record().size).acknowledge()
    assert ledger.settle() == 5


def test_the_confirmation_never_goes_back() -> None:
    """An older LSN, as of a keepalive that was under way, changes nothing."""
    ledger = Ledger(Lsn(5), Limits())
    ledger.reach(Lsn(9))
    ledger.reach(Lsn(7))
    assert ledger.settle() == 9


@given(st.data())
def test_any_order_of_acknowledgements_confirms_only_what_is_safe(data: st.DataObject) -> None:
    """Never has the confirmed LSN a record before it that is still in flight; in the end all is confirmed."""
    ledger = Ledger(Lsn(0), Limits())
    sizes = st.sampled_from([10, 100_000, 300_000])
    flying: list[tuple[int, Span]] = []
    commits = data.draw(st.lists(st.lists(sizes, max_size=300), min_size=1, max_size=12))
    for lsn, sizes_of_commit in enumerate(commits, 1):
        flying += [(lsn, ledger.add(record(size).size)) for size in sizes_of_commit]
        ledger.reach(Lsn(lsn))
        for _ in range(data.draw(st.integers(0, len(flying)))):
            flying.pop(data.draw(st.integers(0, len(flying) - 1)))[1].acknowledge()
        confirmed = ledger.settle()
        assert confirmed < min((commit for commit, _ in flying), default=lsn + 1)
        assert ledger.in_flight == len(flying)
    for _, span in flying:
        span.acknowledge()
    assert ledger.settle() == len(commits)


def test_the_limits_count_records_and_bytes() -> None:
    """Either limit stops the reading, and acknowledgements open it again."""
    few = Ledger(Lsn(0), Limits(records=2, size=10**9))
    first, second = few.add(record().size), few.add(record().size)
    assert few.full
    first.acknowledge()
    second.acknowledge()
    few.settle()
    assert not few.full
    assert Ledger(Lsn(0), Limits(records=10**9, size=1)).add(record().size).size == 10
    small = Ledger(Lsn(0), Limits(records=10**9, size=10))
    small.add(record().size)
    assert small.full
