"""Which form a stack's values have, and what each part is told of it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stack import engines, formats
from stack.errors import StackError
from stack.local import LocalStack, current_stack
from stack.pipeline import cdc, job_keeper
from stack.settings import StackSettings
from stack.state import State

AVRO = StackSettings(value_format="avro")


def test_json_is_told_to_nobody_and_avro_to_engine_and_job(tmp_path: Path) -> None:
    """A stack whose values are JSON runs as it ever did; with Avro both know form and registry."""
    state = State(tmp_path)
    plain = StackSettings(value_format="json")
    for service in (cdc(plain), job_keeper(plain, state)):
        assert not [name for name in service.environment if "REGISTRY" in name or "FORMAT" in name]
    assert cdc(AVRO).environment["CDC_FORMAT"] == "avro"
    assert cdc(AVRO).environment["CDC_SCHEMA_REGISTRY_URL"] == "http://127.0.0.1:28081/apis/ccompat/v7"
    assert job_keeper(AVRO, state).environment["FLINK_VALUE_FORMAT"] == "avro"
    assert "flink-sql-avro-confluent-registry" in job_keeper(AVRO, state).environment["FLINK_AVRO_JARS"]


def test_a_registry_of_ones_own_takes_the_place_of_the_stacks(tmp_path: Path) -> None:
    """`HEADWATER_REGISTRY_URL` is used, and no registry is started."""
    theirs = AVRO.model_copy(update={"registry_url": "https://registry.example", "state_dir": tmp_path})
    assert "schema-registry" in LocalStack(AVRO.model_copy(update={"state_dir": tmp_path})).wanted
    assert "schema-registry" not in LocalStack(theirs).wanted
    assert formats.engine(theirs)["CDC_SCHEMA_REGISTRY_URL"] == "https://registry.example"


@pytest.mark.parametrize("url", ["registry:8081", "http://me:secret@registry"])
def test_a_registry_url_without_scheme_or_with_a_password_is_refused(url: str) -> None:
    """A password would end in the state folder; the message does not repeat it."""
    with pytest.raises(ValidationError) as caught:
        StackSettings(registry_url=url)
    assert "HEADWATER_REGISTRY_URL" in caught.value.errors(include_input=False)[0]["msg"]


def test_a_stack_keeps_the_form_of_its_topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody need set the variable twice; another value is refused with the remedy, unless the topics go."""
    state = State(tmp_path)
    state.create()
    state.save(AVRO.model_copy(update={"state_dir": tmp_path}))
    monkeypatch.delenv("HEADWATER_VALUE_FORMAT", raising=False)
    monkeypatch.setenv("HEADWATER_STATE_DIR", str(tmp_path))
    assert current_stack().settings.value_format == "avro"
    assert engines.chosen(LocalStack(StackSettings()), None).settings.value_format == "avro"
    monkeypatch.setenv("HEADWATER_VALUE_FORMAT", "json")
    with pytest.raises(StackError, match="hold avro") as caught:
        engines.chosen(LocalStack(StackSettings()), None)
    assert "--wipe" in caught.value.remedy
    assert engines.chosen(LocalStack(StackSettings()), None, wiped=True).settings.value_format == "json"


def test_debezium_is_refused_where_values_are_avro(tmp_path: Path) -> None:
    """Its records would be dead letters, every one."""
    stack = LocalStack(StackSettings(value_format="avro", state_dir=tmp_path))
    with pytest.raises(StackError, match="Debezium writes JSON"):
        engines.chosen(stack, "debezium")
