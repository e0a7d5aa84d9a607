"""What deploy/k8s lets a process do is enough for a market (the whole folder shows it), and no more than that."""

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from kafka.admin import ResourceType

from shared.broker import Broker
from shared.settings import Settings
from tests.e2e.guarded import GuardedStack, rules

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.kafka_log]


def options(market: GuardedStack, name: str) -> dict[str, object]:
    settings = Settings(kafka=market.kafka_for_users, **market.certificate_settings(name))  # type: ignore[arg-type]
    return Broker.of(settings, "tests").options


async def test_a_service_sees_what_it_hears_and_nothing_else(whole_market: GuardedStack) -> None:
    async def seen(name: str) -> set[str]:
        consumer = AIOKafkaConsumer(**options(whole_market, name))
        await consumer.start()
        try:
            return set(await consumer.topics())
        finally:
            await consumer.stop()

    allowed = [rule.resource_pattern for rule in rules() if rule.principal == "User:CN=matching"]
    matching = {each.resource_name for each in allowed if each.resource_type is ResourceType.TOPIC}
    assert await seen("matching") == matching
    assert "rights.pay" not in matching
    assert await seen("somebody") == set()


async def test_a_service_writes_its_own_topics_and_no_other(whole_market: GuardedStack) -> None:
    producer = AIOKafkaProducer(**options(whole_market, "posting"), acks="all", enable_idempotence=False)
    await producer.start()
    try:
        await producer.send_and_wait("posting.dead", b"{}", headers=[("dead_reason", b"a test")])
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait("matching.placement", b"{}")
    finally:
        await producer.stop()


async def test_who_has_no_certificate_is_not_let_in(whole_market: GuardedStack) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=whole_market.kafka_for_users, request_timeout_ms=2_000)
    with pytest.raises(KafkaError):
        await consumer.start()
    await consumer.stop()
