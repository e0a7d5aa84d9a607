from collections.abc import AsyncIterator

import pytest

from services.notify.channels import (
    SmsGateway,
    Smtp,
    VoiceGateway,
    Webhook,
    WeComRobot,
    webhook_client,
)
from services.notify.sender import Sender
from shared.providers import provider_client
from shared.testing import Harness
from tests.service.notify.post import PostOffice, post_office
from tests.service.notify.sink import Sink, sms_sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with sms_sink() as sink:
        yield sink


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with post_office() as office:
        yield office


@pytest.fixture
async def sender(notify: Harness, sink: Sink) -> AsyncIterator[Sender]:
    async with provider_client() as client:
        yield Sender(notify.runtime, {"sms": SmsGateway(sink.url, client)})


@pytest.fixture
async def every(notify: Harness, sink: Sink, office: PostOffice) -> AsyncIterator[Sender]:
    """A sender with all channels; those over HTTP end at the sink, and webhooks may be on this machine."""
    async with provider_client() as client, webhook_client() as to_webhooks:
        yield Sender(
            notify.runtime,
            {
                "sms": SmsGateway(sink.url, client),
                "voice": VoiceGateway(sink.url, client),
                "email": Smtp(office.url, "market@example.org"),
                "webhook": Webhook(to_webhooks, local=True),
                "wecom": WeComRobot(sink.url, client),
            },
        )
