"""What is left over and whose it is: the rule alone, with a broker that is a list in memory."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from flink_jobs import FilterSet
from flink_jobs.lifecycle.cleanup import CleanupError, Leftover, leftovers
from flink_jobs.lifecycle.deployment import Running
from flink_jobs.lifecycle.topics import TopicState
from flink_jobs.rest import FlinkRest, Job
from flink_jobs.settings import FlinkSettings
from flink_jobs.submission import Submitter

MakeFilters = Callable[..., FilterSet]
NOTHING = FilterSet(version=1, filters=())
A, B = "a" * 16, "b" * 16


class Broker:
    """Answer like the broker: some topics, some groups and whether they are idle."""

    def __init__(self, topics: Iterable[str], **groups: bool) -> None:
        self._topics = frozenset(topics)
        self._groups = {name.replace("_", "-"): idle for name, idle in groups.items()}

    def topics(self) -> frozenset[str]:
        """List the topics."""
        return self._topics

    def groups(self) -> dict[str, bool]:
        """List the groups."""
        return self._groups

    def state(self, topic: str, groups: Iterable[str]) -> TopicState:
        """Hold five records, of which each group has read three."""
        return TopicState(5, dict.fromkeys((name for name in groups if name in self._groups), 2))


@pytest.fixture
def settings(tmp_path: Path) -> FlinkSettings:
    """Settings with folders of their own."""
    return FlinkSettings(kafka_bootstrap_servers="broker:1", flink_checkpoint_dir=tmp_path / "checkpoints")


@pytest.fixture
def submitter(settings: FlinkSettings, filters: MakeFilters) -> Submitter:
    """A submitter whose records know one filter, deployed long ago."""
    made = Submitter(settings, FlinkRest("http://127.0.0.1:9"))
    made.records.note(A, filters())
    return made


def names(found: list[Leftover], *, ours: bool = True) -> set[tuple[str, str]]:
    """Return kind and name of those that are ours, or are not."""
    return {(each.kind, each.name) for each in found if each.ours is ours}


def ask(submitter: Submitter, settings: FlinkSettings, file: FilterSet, broker: Broker) -> list[Leftover]:
    """Ask what is left over while no job runs."""
    return leftovers(file, settings, submitter, Running(None, None, None), broker)  # type: ignore[arg-type]


def test_only_a_topic_that_a_record_names_is_ours(submitter: Submitter, settings: FlinkSettings) -> None:
    """The suffix alone is not enough, and without it a topic is not even listed (FL-77)."""
    broker = Broker(["filtered-one-flink", "filtered-other-flink", "orders", settings.cdc_topic])
    found = ask(submitter, settings, NOTHING, broker)
    assert names(found) == {("topic", "filtered-one-flink")}
    assert names(found, ours=False) == {("topic", "filtered-other-flink")}


def test_what_a_filter_names_stays_disabled_or_not(
    submitter: Submitter, settings: FlinkSettings, filters: MakeFilters
) -> None:
    """It may be switched on again (FL-77, FL-78)."""
    broker = Broker(["filtered-one-flink"], one_consumer_group=True)
    assert ask(submitter, settings, filters(enabled=False), broker) == []


def test_what_comes_back_with_the_job_stays(submitter: Submitter, settings: FlinkSettings) -> None:
    """A job that is missing for the moment writes to its topics again (FL-77)."""
    settings.flink_plan_dir.mkdir(parents=True)
    submitter.plans.make_current(A)
    assert ask(submitter, settings, NOTHING, Broker(["filtered-one-flink"], one_consumer_group=True)) == []


def test_unread_records_are_counted_by_the_group_that_has_read_least(
    submitter: Submitter, settings: FlinkSettings
) -> None:
    """All of them, where nobody has read (FL-77)."""
    (topic,) = ask(submitter, settings, NOTHING, Broker(["filtered-one-flink"]))
    assert (topic.records, topic.unread) == (5, 5)
    assert "5 RECORDS THAT NOBODY HAS READ" in topic.remark
    topic, _group = ask(submitter, settings, NOTHING, Broker(["filtered-one-flink"], one_consumer_group=True))
    assert topic.unread == 2


def test_a_group_with_members_is_left_alone(submitter: Submitter, settings: FlinkSettings) -> None:
    """Its consumer is to be stopped first (FL-77)."""
    (group,) = ask(submitter, settings, NOTHING, Broker([], one_consumer_group=False))
    assert (group.name, group.ours) == ("one-consumer-group", False)
    assert "stop its consumer first" in group.remark


def test_where_what_runs_is_not_known_nothing_is_listed(submitter: Submitter, settings: FlinkSettings) -> None:
    """A job of before the records may write to any of them (FL-77)."""
    runs = Running(Job("1" * 32, "headwater-filters", "RUNNING", 2, 2), B, None)
    with pytest.raises(CleanupError, match="is not recorded"):
        leftovers(NOTHING, settings, submitter, runs, Broker(["filtered-one-flink"]))  # type: ignore[arg-type]
