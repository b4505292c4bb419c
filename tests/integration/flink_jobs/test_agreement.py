"""The evaluator and Flink's SQL give the same of SQL's three values for every filter and every record."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from flink_jobs.dispatch import group_predicate
from flink_jobs.evaluator import Record, Verdict, evaluate, explain
from flink_jobs.filters import Filter
from flink_jobs.predicates import filter_predicate
from flink_jobs.routing import Group
from stack import java
from tests.integration.flink_jobs.samples import sample_filters, sample_records

FILTERS, RECORDS = 100, 100
SEED = "AGREE_SEED"
"""The variable that repeats a run."""

FOUND: tuple[dict[str, object], ...] = (
    {"field": "__ts_ms", "operator": "in", "valueType": "number", "values": [0.1, -1.2, *range(100, 120)]},
    {"field": "event_name", "operator": "greaterThan", "value": "😀"},
    {"field": "header_data.n", "operator": "greaterThan", "value": "😀"},
    {"field": "event_type", "operator": "in", "valueType": "boolean", "values": [True, False]},
    {"field": "saved_date", "operator": "lessThan", "valueType": "timestamp", "value": "2026-03-01T00:00:00Z"},
    {"field": "event_name", "operator": "matches", "value": "(a|b)*"},
    {"field": "header_data.n", "operator": "greaterThan", "valueType": "number", "value": 1},
)
"""Where the two once differed, or where one record would have held up or ended the job; asked in every run."""

MEETING: tuple[dict[str, object], ...] = (
    {"event_name": "\uffff", "__ts_ms": 0, "event_type": "", "saved_date": "2026-02-30T00:00:00Z"},
    {"event_name": "ab" * 50_000, "__ts_ms": -1, "event_type": " ", "saved_date": "2026-01-01T24:00:00Z"},
    {"event_name": "ab" * 128, "header_data": '{"n": "1e999999999"}', "saved_date": "2026-01-01T00:00:00Z\n"},
    {"event_name": "😀", "header_data": '{"n": "\\uffff"}', "saved_date": "2026-01-01T00:00:00+99:99"},
    {"event_name": "a\n", "header_data": '{"n": 1e999999999}', "saved_date": "9999-12-31T23:59:59-23:59"},
)

LETTERS: dict[Verdict, str] = {True: "t", False: "f", None: "n"}


def ask_flink(pairs: list[Filter], stock: list[Record], folder: Path) -> dict[str, str]:
    """Return by the id of the record one letter for each filter, then one for each in the form that routes."""
    predicates = [filter_predicate(each) for each in pairs]
    # Where null counts as false, the planner simplifies in other ways; and paths are looked up by our own function.
    routing = [f"CASE WHEN {group_predicate(Group('t', (each,)))} THEN TRUE END" for each in pairs]
    question = {"values": [json.dumps(each) for each in stock], "predicates": [*predicates, *routing]}
    answer = folder / "answer.json"
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("verdicts.py"), answer],
        input=json.dumps(question),
        env={**os.environ, "JAVA_HOME": str(java.JAVA_HOME)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    found: dict[str, str] = json.loads(answer.read_text())
    return found


def difference(one: Filter, record: Record, flink: str) -> str:
    """Return a disagreement as text with all that is needed to repeat it."""
    lines = [f"Flink {flink}, evaluator {LETTERS[evaluate(one, record)]}", filter_predicate(one), ascii(record)]
    return "\n  ".join([*lines, *map(ascii, explain(one, record).checks)])


@pytest.mark.slow
def test_flink_and_the_evaluator_agree_on_every_pair(tmp_path: Path) -> None:
    """Thousands of generated pairs, nulls, every operator and every type among them (FL-9 to FL-15, FL-43)."""
    number = int(os.environ.get(SEED) or random.randrange(2**32))
    sys.stdout.write(f"repeat with {SEED}={number}\n")
    names = {"id": "one", "name": "One", "consumerId": "c", "outputTopic": "t"}
    known = [Filter.model_validate({**names, "conditions": [each]}) for each in FOUND]
    made = [*known, *sample_filters(FILTERS, number)]
    usual = [{"event_type": "A", "__op": "c", **each} for each in MEETING]
    stock = [{**body, "id": f"r{at}"} for at, body in enumerate([*usual, *sample_records(RECORDS, number + 1)])]
    found = ask_flink(made, stock, tmp_path)
    assert len(made) * len(stock) >= 5_000
    assert {key: len(letters) for key, letters in found.items()} == {each["id"]: 2 * len(made) for each in stock}
    wrong = [
        difference(one, record, f"{letter}, routing {routed}")
        for record in stock
        for one, letter, routed in zip(made, found[record["id"]], found[record["id"]][len(made) :], strict=False)
        if (verdict := LETTERS[evaluate(one, record)]) != letter or (verdict == "t") != (routed == "t")
    ]
    assert not wrong, f"{SEED}={number}, {len(wrong)} pairs differ:\n" + "\n".join(wrong[:5])
    told = "".join(letters[: len(made)] for letters in found.values())
    shares = {letter: told.count(letter) / len(told) for letter in "tfn"}
    assert min(shares.values()) > 0.01, f"{SEED}={number}, the pairs say too little: {shares}"
