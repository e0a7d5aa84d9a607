from collections.abc import AsyncIterator

import httpx
import pytest

from services.notify.channels import SmsGateway
from services.notify.sender import Sender
from shared.testing import Harness
from tests.service.notify.sink import Sink, sms_sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with sms_sink() as sink:
        yield sink


@pytest.fixture
async def sender(notify: Harness, sink: Sink) -> AsyncIterator[Sender]:
    async with httpx.AsyncClient() as client:
        yield Sender(notify.runtime, {"sms": SmsGateway(sink.url, client)})
