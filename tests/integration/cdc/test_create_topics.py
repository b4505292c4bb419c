"""`python -m cdc.create_topics` makes the declared topics of the cluster that the environment names."""

from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

import schemas
from cdc import create_topics as program
from cdc.topics import create_topics


def test_declared_topics_are_made_once_with_what_is_declared(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Partitions and settings as declared, one copy on one broker; repeated, nothing is made (CD-21, CD-27)."""
    name = f"declared-{uuid4().hex[:8]}"
    wanted = schemas.Topic(name, 3, 1, 3, {"retention.ms": "604800000"}, {"min.insync.replicas": "2"})
    monkeypatch.setattr(schemas, "topics", lambda: (wanted,))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    assert program.main() == 0
    assert program.main() == 0
    assert capsys.readouterr().out.splitlines() == [f"created: {name}", "every declared topic is there"]
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    found = admin.list_topics(name, timeout=10).topics[name]
    assert len(found.partitions) == 3
    assert [len(each.replicas) for each in found.partitions.values()] == [1, 1, 1]
    (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
    given = answer.result(10)
    assert (given["retention.ms"].value, given["min.insync.replicas"].value) == ("604800000", "1")


def test_a_refused_topic_is_named(kafka_bootstrap: str) -> None:
    """Its name, and the broker's reason."""
    wrong = schemas.Topic("declared-wrong", 1, 1, 3, {"retention.ms": "soon"})
    with pytest.raises(Exception, match=r"declared-wrong is not created: .*retention\.ms"):
        create_topics(kafka_bootstrap, {}, (wrong,))


def test_a_broker_that_is_away_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; 2 where no broker is named."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert program.main() == 1
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    assert program.main() == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in capsys.readouterr().err
