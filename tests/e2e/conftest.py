"""The whole market on free ports and a guarded broker, once for the tests of this folder that ask for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.ports import free_ports
from deploy.local.stack import MARKET
from tests.e2e.guarded import GuardedStack


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def whole_market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedStack]:
    folder: Path = tmp_path_factory.mktemp("market")
    async with GuardedStack(folder, ports=free_ports(), parts=MARKET, say=lambda line: None) as stack:
        yield stack
