"""The name of a shard's slot says everything about it, fits where names are short, and is nobody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from cdc.records import TopicName
from cdc.settings import Settings
from cdc.shards.names import (
    LAST_GENERATION,
    LONGEST_SUFFIX,
    MOST_SHARDS,
    WHOLE,
    WHOLE_GENERATION,
    Generation,
    Part,
    history_of,
    is_part_name,
    older_generation,
)
from cdc.slots.slot import LONGEST_IDENTIFIER, LONGEST_NAME

PARTS = st.builds(Generation, st.integers(1, LAST_GENERATION), st.integers(1, MOST_SHARDS)).flatmap(
    lambda generation: st.sampled_from(generation.parts)
)


def settings(**given: object) -> Settings:
    """Return settings with what every engine needs."""
    needed = {"database_url": SecretStr("postgresql://h/d"), "kafka_bootstrap_servers": "h:1"}
    return Settings.model_validate({**needed, **given})


@given(PARTS, st.text("abc_0g", min_size=1, max_size=LONGEST_NAME))
def test_a_name_is_read_as_it_was_written(part: Part, base: str) -> None:
    """Of slots and sources, for the longest base too; the slot of another base is nobody's."""
    name = part.slot(base)
    assert len(name) <= LONGEST_IDENTIFIER
    assert len(name) - len(base) <= LONGEST_SUFFIX
    assert Part.parse(base, name) == part
    assert Part.parse(f"{base}x", name) is None
    assert is_part_name(name)
    source = part.source(b"7/db")
    assert Part.of_source(source) == part
    assert history_of(source) == b"7/db"


def test_the_whole_has_the_names_of_the_settings() -> None:
    """An engine without shards is what it always was."""
    given = settings()
    assert WHOLE_GENERATION.parts == (WHOLE,)
    assert (WHOLE.slot("s"), WHOLE.publication("p"), WHOLE.source(b"7/db")) == ("s", "p", b"7/db")
    assert Part.parse("s", "s") == WHOLE
    assert given.of(WHOLE) is given


@pytest.mark.parametrize(
    "name", ["s_g0_0of2", "s_g1_2of2", "s_g1_0of", "s_g01_0of2", "s_g1_0of2_snapshot", "s_snapshot"]
)
def test_other_names_are_no_shards(name: str) -> None:
    """Those of a snapshot among them."""
    assert Part.parse("s", name) is None


def test_generations_follow_each_other_round() -> None:
    """So that names never grow; none is followed by the whole, whose name tells no order."""
    assert WHOLE_GENERATION.successor(3) == Generation(1, 3)
    assert Generation(1, 3).successor(2) == Generation(2, 2)
    assert Generation(LAST_GENERATION, 2).successor(1) == Generation(1, 1)
    assert Generation(1, 1).returns
    assert not WHOLE_GENERATION.returns


def test_only_another_generation_of_the_same_history_is_older() -> None:
    """A sibling's record says nothing of where ours are, one of another database neither."""
    own, sibling, older = b"7/db#2.0of2", b"7/db#2.1of2", b"7/db#1.0of2"
    assert older_generation(older, own)
    assert older_generation(b"7/db", own)
    assert older_generation(own, b"7/db")
    assert not older_generation(sibling, own)
    assert not older_generation(own, own)
    assert not older_generation(b"8/db", own)
    assert not older_generation(b"7/db#x", own)


def test_a_shard_has_settings_of_its_own() -> None:
    """Its slot, publication and bookmark; logical messages are the first one's, or they came once for each."""
    whole = settings(cdc_messages={"outbox": "orders"}, slot_name="s", publication_name="p", cdc_shards=2)
    first, second = (whole.of(part) for part in Generation(4, 2).parts)
    assert (first.slot_name, second.slot_name) == ("s_g4_0of2", "s_g4_1of2")
    assert (first.publication_name, second.publication_name) == ("p_g4_0of2", "p_g4_1of2")
    assert (first.bookmark_group, second.bookmark_group) == ("headwater-cdc-s_g4_0of2", "headwater-cdc-s_g4_1of2")
    assert first.cdc_messages == {"outbox": TopicName("orders")}
    assert second.cdc_messages == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cdc_shards": 0}, "greater than or equal to 1"),
        ({"cdc_shards": MOST_SHARDS + 1}, "less than or equal to 64"),
        ({"cdc_shards": 2, "cdc_truncate": "emit"}, "CDC_TRUNCATE=emit needs CDC_SHARDS=1"),
        ({"cdc_shards": 2, "cdc_bookmark_group": "mine"}, "needs {slot}"),
        ({"cdc_shards": 2, "publication_name": "p" * 51}, "at most 50 bytes"),
        ({"slot_name": "s_g1_0of2"}, "the name of a shard's slot"),
    ],
)
def test_what_shards_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    """At the start, with what to change."""
    with pytest.raises(ValidationError) as caught:
        settings(**given)
    assert said in str(caught.value)
