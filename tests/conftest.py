"""The real servers that tests run against, found once per run (see deploy/local/found.py)."""

import os

import pytest

from shared.settings import Settings
from shared.telemetry import start_logs

start_logs(Settings(), "tests")


@pytest.fixture(scope="session")
def mongo_url() -> str:
    return os.environ["KUAIZHAO_TEST_MONGO_URL"]


@pytest.fixture(scope="session")
def valkey_url() -> str:
    return os.environ["KUAIZHAO_TEST_VALKEY_URL"]
