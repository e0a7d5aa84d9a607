"""The real servers that tests run against, found once per run (see deploy/local/found.py)."""

from collections.abc import Iterator

import pytest

from deploy.local.found import Servers, found_servers
from shared.settings import Settings
from shared.telemetry import start_logs

start_logs(Settings(), "tests")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Kafka, MongoDB and Valkey, with a line that says where they were found."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    with found_servers(say=(lambda line: reporter.write_line(line)) if reporter else print) as found:
        yield found


@pytest.fixture(scope="session")
def mongo_url(servers: Servers) -> str:
    return servers.mongo_url


@pytest.fixture(scope="session")
def valkey_url(servers: Servers) -> str:
    return servers.valkey_url


@pytest.fixture
def kafka(servers: Servers) -> str:
    return servers.kafka
