"""Flink's own parser and planner take every statement of both clouds' dialects; they refuse a planted mistake."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from flink_jobs import FilterSet, Places, statements
from flink_jobs.dialects import Call, Inserts, calls, msk_places
from flink_jobs.plan import Blueprint
from flink_jobs.predicates import filter_predicate
from flink_jobs.sql import Statement
from stack import java, maven
from stack.settings import StackSettings
from tests.unit.flink_jobs.dialects.every import every_filter

Json = dict[str, Any]
PLANNER = Path(__file__).with_name("planner.py")
ENVIRONMENT = {**os.environ, "JAVA_HOME": str(java.JAVA_HOME)}
PLACES = Places("never:9092")
EVERY = every_filter("event_type", "header_data.a.b[0].c", "__ts_ms")
FEW = FilterSet(version=1, filters=EVERY.filters[:3])

pytestmark = pytest.mark.slow


def for_the_planner(call: Call) -> str:
    """Return a CREATE TABLE with the same columns on a connector that needs neither broker nor registry."""
    connector = "datagen" if call.name.startswith("source-") else "blackhole"
    head, cut, _ = call.text.partition("\nDISTRIBUTED BY ")
    assert cut, call
    return f"{head} WITH ('connector' = '{connector}')"


def bare(text: str) -> str:
    """Return a statement as the parser takes it, without its last semicolon."""
    return text.removesuffix(";")


def tables(made: Sequence[Call]) -> list[Call]:
    """Return the CREATE TABLE statements."""
    return [each for each in made if each.name.startswith(("source-", "sink-"))]


def definitions(made: Sequence[Call]) -> list[Json]:
    """Return the steps that make the tables."""
    return [{"kind": "run", "text": for_the_planner(each)} for each in tables(made)]


def compiling(made: Sequence[Call], spoil: Callable[[str], str] = str) -> list[Json]:
    """Return a script that compiles the single inserts as one job."""
    texts = [spoil(bare(each.text)) for each in made if each.name.startswith("insert-")]
    return [*definitions(made), {"kind": "compile", "texts": texts}]


SINGLE = calls(EVERY, PLACES, inserts=Inserts.SINGLE)
SET = calls(FEW, PLACES)
MISTAKES: dict[str, tuple[str, str, str]] = {
    "a function that there is not": ("CAST(`id` AS BYTES)", "ENCODED(`id`)", "No match found for function"),
    "a column that there is not": ("`__op` IN", "`op` IN", "Column 'op' not found"),
    "a word that is reserved": ("(`key`,", "(table,", "Encountered"),
    "a value of another type": ("CAST(`id` AS BYTES)", "`__ts_ms`", "BIGINT"),
    "a quote that ends the text": ("IN ('c'", "IN ('c''", "Encountered"),
}
SCRIPTS: dict[str, list[Json]] = {
    "parsed": [
        *definitions(SET),
        *({"kind": "parse", "text": bare(each.text)} for each in SET),
    ],
    "all": compiling(SINGLE),
    "set": [
        *definitions(SET),
        {"kind": "run", "text": "EXPLAIN " + bare(SET[-1].text).removeprefix("EXECUTE ")},
    ],
    **{
        name: compiling(
            calls(FEW, PLACES, inserts=Inserts.SINGLE), lambda text, old=old, new=new: text.replace(old, new)
        )
        for name, (old, new, _) in MISTAKES.items()
    },
}


@pytest.fixture(scope="module")
def answers() -> dict[str, list[Json]]:
    """Ask the planner everything in one process."""
    done = subprocess.run(
        [sys.executable, PLANNER],
        input=json.dumps(list(SCRIPTS.values())),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(SCRIPTS, json.loads(done.stdout), strict=True))


def test_every_statement_for_confluent_is_parsed_as_it_stands(answers: dict[str, list[Json]]) -> None:
    """Distribution, options, ALTER and statement set are Flink's syntax, word for word."""
    told = [each.get("answer", each) for each in answers["parsed"][len(tables(SET)) :]]
    assert told == [
        "CreateTableOperation",
        "AlterTableChangeOperation",
        *["CreateTableOperation"] * len(FEW.filters),
        "StatementSetOperation",
    ]


def test_every_predicate_for_confluent_compiles(answers: dict[str, list[Json]]) -> None:
    """Each operator with each type of value becomes an operator of a job, its Java compiled (FL-50, FL-57)."""
    told = answers["all"][-1]
    match = re.fullmatch(r"(\d+) sinks, (\d+) operators", told.get("answer", ""))
    assert match, told
    assert int(match[1]) == len(EVERY.filters)
    # The planner shares the operator of predicates that mean the same, such as a null test of any type.
    assert int(match[2]) >= 0.9 * len({filter_predicate(each) for each in EVERY.filters})


def test_the_statement_set_reads_the_source_once(answers: dict[str, list[Json]]) -> None:
    """However many inserts there are, the plan that is run has one scan."""
    plan = str(answers["set"][-1].get("answer")).partition("== Optimized Execution Plan ==")[2]
    assert plan.count("TableSourceScan(") == 1
    assert plan.count("Sink(") == len(FEW.filters)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_refused(answers: dict[str, list[Json]], name: str) -> None:
    """The proof can fail: the same statements, one thing wrong."""
    refusal = answers[name][-1].get("refusal", "nothing was refused")
    assert MISTAKES[name][2] in refusal


def compiled(parts: Sequence[Statement], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Compile a script as the job's own plan, Kafka connector and record parser included."""
    cache = StackSettings().cache_dir
    maven.fetch(maven.missing(("flink-kafka",), cache), cache, maven.silent)
    jars = tuple(map(str, maven.class_path("flink-kafka", cache)))
    given = Blueprint("msk", {"parallelism.default": "1", "table.local-time-zone": "UTC"}, tuple(parts), jars)
    return subprocess.run(
        [sys.executable, "-m", "flink_jobs.job", folder],
        input=given.to_json(),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_script_for_msk_becomes_a_job(tmp_path: Path) -> None:
    """All operators, with IAM's options on every table; the job is made whole, only not submitted (FL-54, FL-57)."""
    done = compiled(statements(EVERY, msk_places(PLACES)), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    plan = next(tmp_path.glob("*/fresh.bin")).read_bytes()
    assert b"software.amazon.msk.auth.iam.IAMClientCallbackHandler" in plan


def test_a_planted_mistake_in_the_script_for_msk_is_refused(tmp_path: Path) -> None:
    """One function that there is not, and no plan."""
    parts = statements(FEW, msk_places(PLACES))
    spoilt = [
        Statement(each.kind, each.name, each.text.replace("CAST(`id` AS BYTES)", "ENCODED(`id`)")) for each in parts
    ]
    done = compiled(spoilt, tmp_path)
    assert done.returncode == 1
    assert "No match found for function" in done.stdout
