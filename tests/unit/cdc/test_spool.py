"""The spool keeps what survives, in bounded memory, and gives everything back."""

from functools import partial
from pathlib import Path
from sys import getsizeof

import pytest

from cdc.errors import CdcError
from cdc.spool import Spool

INSERT = ord("I")


def held(spool: Spool) -> list[bytes]:
    """Return what is in it."""
    return [data for _, data in spool.messages()]


def test_what_is_spilled_comes_back_in_order(tmp_path: Path) -> None:
    """From file and memory, with the order number of its block, as often as it is asked for."""
    spool = Spool(5, tmp_path)
    spool.mark(1)
    for number in range(5):
        spool.append(5, INSERT, b"%d" % number)
        spool.spill()
    spool.mark(2)
    spool.append(5, INSERT, b"x" * 600_000)
    assert spool.memory > 600_000
    expected = [(1, b"I%d" % number) for number in range(5)] + [(2, b"I" + b"x" * 600_000)]
    assert list(spool.messages()) == list(spool.messages()) == expected
    assert not list(tmp_path.iterdir()), "the file has no name"
    spool.release()
    assert (spool.size, spool.memory, held(spool)) == (0, 0, [])


@pytest.mark.parametrize("spilled", [0, 1, 2, 3])
def test_a_cut_reaches_into_the_file(tmp_path: Path, spilled: int) -> None:
    """Wherever the boundary between file and memory lies, and writing goes on behind the cut."""
    spool = Spool(5, tmp_path)
    for number, xid in enumerate((5, 6, 7)):
        spool.append(xid, INSERT, b"%d" % number)
        if number < spilled:
            spool.spill()
    spool.cut(6)
    assert held(spool) == [b"I0"]
    spool.append(8, INSERT, b"8")
    spool.spill()
    spool.append(9, INSERT, b"9")
    assert held(spool) == [b"I0", b"I8", b"I9"]
    spool.release()


def test_a_million_savepoints_cost_next_to_nothing() -> None:
    """Rolled back they leave nothing; released one after the other they leave twelve bytes each."""
    spool = Spool(1)
    for xid in range(2, 200_002):
        spool.append(xid, INSERT, b"")
        spool.cut(xid)
    assert (spool.size, spool.memory, spool.index) == (0, 0, 0)
    for xid in range(200_002, 1_200_002):
        spool.append(xid, INSERT, b"")
        if spool.memory > 1_000_000:
            spool.spill()
    assert spool.index == 12_000_000
    assert getsizeof(spool._subs) + getsizeof(spool._starts) < 16_000_000
    spool.append(1, INSERT, b"the top transaction goes on")
    assert spool.index == 0
    spool.release()


def test_ids_are_compared_around_their_circle() -> None:
    """After four billion transactions the ids begin anew, perhaps within one transaction."""
    top = 2**32 - 2
    spool = Spool(top)
    for xid in (top, 2**32 - 1, 3, 4):
        spool.append(xid, INSERT, b"%d" % xid)
    spool.cut(4)
    spool.append(5, INSERT, b"5")
    spool.cut(3)
    assert held(spool) == [b"I%d" % top, b"I%d" % (2**32 - 1)]
    spool.cut(2**32 - 1)
    assert held(spool) == [b"I%d" % top]


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that is always full takes the file's place."""
    spool = Spool(5)
    spool.append(5, INSERT, b"1")
    full = partial(Path("/dev/full").open, "r+b", buffering=0)
    monkeypatch.setattr("cdc.spool.TemporaryFile", lambda **_options: full())
    with pytest.raises(CdcError, match="No space left") as caught:
        spool.spill()
    assert caught.value.kind.value == "spool"
    spool.release()
