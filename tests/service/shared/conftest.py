import os
from collections.abc import AsyncIterator

import pytest

from shared import delivery
from shared.testing import Harness, harness
from tests.ledger import Mood, service


@pytest.fixture
async def ledger(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    """The ledger, on an empty database, whose retries do not wait."""
    monkeypatch.setattr(delivery, "RETRY_AFTER", (0.0, 0.0, 0.0))
    Mood.reset()
    async with harness(service, mongo_url, database=f"test_ledger_{os.getpid()}") as made:
        yield made
