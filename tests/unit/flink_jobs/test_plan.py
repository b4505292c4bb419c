"""The compiled plan: what names it, how it is kept, and how it is made ready for one submission."""

from dataclasses import replace
from pathlib import Path

import pytest

from flink_jobs.plan import (
    STAND_IN_CHECKPOINT,
    STAND_IN_JOB_ID,
    Blueprint,
    Plan,
    PlanError,
    PlanStore,
)
from flink_jobs.sql import Kind, Statement

JOB = "00112233445566778899aabbccddeeff"
ID = bytes.fromhex(STAND_IN_JOB_ID)
PATH = b"\x74" + len(STAND_IN_CHECKPOINT).to_bytes(2, "big") + STAND_IN_CHECKPOINT.encode()


def plan(digest: str = "d", fresh: bytes = b"a" + ID + b"z", restoring: bytes = b"a" + ID + b"m" + PATH + b"z") -> Plan:
    """Return a plan with its stand-ins where Flink would put them."""
    return Plan(digest, "job", fresh, restoring, b"jar")


@pytest.fixture
def drawn(tmp_path: Path) -> Blueprint:
    """A blueprint with one archive."""
    jar = tmp_path / "connector.jar"
    jar.write_bytes(b"1234")
    return Blueprint("job", {"a": "1"}, (Statement(Kind.INSERT, "x", "INSERT"),), (str(jar),))


def test_a_plan_is_given_its_id_and_its_checkpoint() -> None:
    """Both stand-ins are replaced, the path with its new length before it; nothing else changes."""
    assert plan().render(JOB, None) == b"a" + bytes.fromhex(JOB) + b"z"
    path = "file:///tmp/ünïcode/chk-7"
    written = b"\x74" + len(path.encode()).to_bytes(2, "big") + path.encode()
    assert plan().render(JOB, path) == b"a" + bytes.fromhex(JOB) + b"m" + written + b"z"


@pytest.mark.parametrize("body", [b"", ID + ID, b"no stand-in"])
def test_a_plan_that_is_not_understood_is_not_submitted(body: bytes) -> None:
    """A stand-in that is missing, or there twice, stops the submission and names the remedy."""
    with pytest.raises(PlanError, match="delete the plan folder"):
        plan(fresh=body).render(JOB, None)
    with pytest.raises(PlanError, match="delete the plan folder"):
        plan(restoring=body + PATH).render(JOB, "file:///x")


def test_a_path_that_java_writes_otherwise_is_refused() -> None:
    """Beyond 16 bits Java's string form is another one, and no guess is made."""
    with pytest.raises(PlanError, match="plainer path"):
        plan().render(JOB, "file:///\U0001f600")


def test_the_digest_follows_everything_that_goes_in(drawn: Blueprint) -> None:
    """Another option, statement, name or archive is another plan; the same is the same."""
    jar = Path(drawn.jars[0])
    others = [
        replace(drawn, name="other"),
        replace(drawn, configuration={"a": "2"}),
        replace(drawn, statements=(Statement(Kind.VIEW, "x", "INSERT"),)),
        replace(drawn, statements=()),
        replace(drawn, avro=True),
    ]
    digests = {drawn.digest, *(other.digest for other in others)}
    assert len(digests) == 6
    assert replace(drawn).digest == drawn.digest
    before = drawn.digest
    jar.write_bytes(b"12345")
    assert drawn.digest != before


def test_a_blueprint_survives_its_way_to_the_compiler(drawn: Blueprint) -> None:
    """What the other process reads is what was written."""
    assert Blueprint.from_json(drawn.to_json()) == drawn


def test_a_plan_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """A folder without its last file is no plan, and a plan comes back as it was saved."""
    store = PlanStore(tmp_path / "plans")
    assert "d" not in store
    store.save(plan())
    assert store.load("d") == plan()
    (tmp_path / "plans" / "e").mkdir()
    assert "e" not in store
    with pytest.raises(PlanError, match="submit again"):
        store.load("e")


def test_the_plan_to_run_is_remembered_and_never_pruned(tmp_path: Path) -> None:
    """Old plans go, the current one stays however old it is."""
    store = PlanStore(tmp_path)
    assert store.current is None
    store.save(plan("first"))
    store.make_current("first")
    for number in range(8):
        store.save(plan(f"later-{number}"))
    assert store.current == "first"
    assert "first" in store
    assert "later-7" in store
    assert len(list(tmp_path.glob("*/plan.json"))) <= 6
