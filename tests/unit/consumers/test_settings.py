"""What a consumer reads from its environment."""

import pytest
from pydantic import ValidationError

import schemas
from consumers import GROUPS, ConsumerSettings


def settings(**changes: object) -> ConsumerSettings:
    """Return settings with some changed."""
    base = {"kafka_bootstrap_servers": "x:1", "kafka_topic": "t", "consumer_group_id": "car-consumer-group"}
    return ConsumerSettings.model_validate(base | changes)


def test_the_client_is_named_after_the_group() -> None:
    """`-group` becomes `-client`, unless a name is set (FL-81)."""
    assert settings().client_id == "car-consumer-client"
    assert settings(kafka_client_id="mine").client_id == "mine"


def test_key_and_secret_switch_to_sasl_and_their_absence_to_plain() -> None:
    """SASL_SSL with PLAIN, or a plain local broker (FL-82)."""
    assert "security.protocol" not in settings().group()
    with_key = settings(kafka_api_key="k", kafka_api_secret="s").group()
    assert (with_key["security.protocol"], with_key["sasl.mechanisms"]) == ("SASL_SSL", "PLAIN")


def test_half_of_the_credentials_is_an_error_that_names_both() -> None:
    """And the one that was given is not repeated."""
    with pytest.raises(ValidationError, match="KAFKA_API_SECRET") as caught:
        settings(kafka_api_key="very-secret-key")
    assert "very-secret-key" not in str(caught.value)


def test_an_unknown_time_zone_is_refused() -> None:
    """The message names the variable (FL-81)."""
    with pytest.raises(ValidationError, match="DISPLAY_TIMEZONE"):
        settings(display_timezone="Mars/Olympus")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_registry_url": "registry:8081"},
        {"schema_registry_url": "http://me:very-secret@registry"},
        {"schema_registry_config": {"basic.auth.user": "me:very-secret"}},
        {"handler_attempts": 100, "handler_wait_seconds": 5},
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object]) -> None:
    """No secret is repeated; retries longer than the broker's patience would give the record to two members (FL-83)."""
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    assert "very-secret" not in str(caught.value)


def test_a_private_authority_belongs_to_sasl() -> None:
    """`KAFKA_SSL_CA_LOCATION` is for a broker that the system's authorities do not vouch for (FL-82)."""
    with_key = settings(kafka_api_key="k", kafka_api_secret="s", kafka_ssl_ca_location="/ca.pem").group()
    assert with_key["ssl.ca.location"] == "/ca.pem"
    assert "ssl.ca.location" not in settings(kafka_ssl_ca_location="/ca.pem").group()


def test_the_group_settings_are_those_of_the_contract() -> None:
    """Offsets are stored by hand, the rest is FL-83 to the letter (FL-83, FL-84)."""
    group = settings().group()
    assert group["enable.auto.offset.store"] is False
    assert (group["auto.offset.reset"], group["session.timeout.ms"], group["heartbeat.interval.ms"]) == (
        "earliest",
        30_000,
        10_000,
    )
    assert (group["max.poll.interval.ms"], group["socket.timeout.ms"], group["connections.max.idle.ms"]) == (
        300_000,
        60_000,
        300_000,
    )
    assert (group["reconnect.backoff.ms"], group["reconnect.backoff.max.ms"]) == (100, 10_000)
    assert group["socket.keepalive.enable"] is True


def test_every_filtered_topic_has_a_group() -> None:
    """The declared topics and the declared groups agree (FL-80)."""
    filtered = {topic.name.removesuffix("-flink") for topic in schemas.topics(dealers=True) if "filtered" in topic.name}
    assert filtered == set(GROUPS)
