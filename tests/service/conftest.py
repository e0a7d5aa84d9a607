"""A harness for each service: `async def test_x(matching: Harness)` has an empty matching on a real MongoDB."""

import importlib
import os
from collections.abc import AsyncIterator

import pytest

from shared import clock
from shared.service import Service
from shared.testing import Harness, harness
from tests.service.market import Market


async def _harness(name: str, mongo_url: str, **settings: str) -> AsyncIterator[Harness]:
    service = importlib.import_module(f"services.{name}.app").service
    assert isinstance(service, Service)
    async with harness(service, mongo_url, database=f"test_{name}_{os.getpid()}", **settings) as made:
        yield made


@pytest.fixture
async def identity(mongo_url: str, valkey_url: str) -> AsyncIterator[Harness]:
    async for made in _harness("identity", mongo_url, valkey_url=valkey_url):
        yield made


@pytest.fixture
async def posting(mongo_url: str) -> AsyncIterator[Harness]:
    async for made in _harness("posting", mongo_url):
        yield made


@pytest.fixture
async def workers(mongo_url: str) -> AsyncIterator[Harness]:
    async for made in _harness("workers", mongo_url):
        yield made


@pytest.fixture
async def matching(mongo_url: str) -> AsyncIterator[Harness]:
    async for made in _harness("matching", mongo_url):
        yield made


@pytest.fixture
async def rights(mongo_url: str) -> AsyncIterator[Harness]:
    async for made in _harness("rights", mongo_url):
        yield made


@pytest.fixture
async def notify(mongo_url: str, valkey_url: str) -> AsyncIterator[Harness]:
    async for made in _harness("notify", mongo_url, valkey_url=valkey_url):
        yield made


@pytest.fixture
def market(posting: Harness, workers: Harness, matching: Harness, rights: Harness) -> Market:
    """Four services on one clock, that of matching."""
    clock.set_source(lambda: matching.clock.now)
    return Market(posting, workers, matching, rights)
