"""What a test run may leave out, and when. A skip for any other reason fails the run.

A test says what it needs with a mark: `kafka_log`, a broker whose log outlives it; `browser`, a Chromium.
"""

import shutil
from collections.abc import Sequence
from typing import Any

import pytest

NO_LOG = "only Apache Kafka can show it, and the broker is Tansu"
NO_BROWSER = "there is no Chromium"
NO_CLIENT = {
    "python": "there is no Python",
    "java": "there is no Java 17 with Maven",
    "go": "there is no Go",
    "javascript": "there is no Node.js 20 with npm",
}
"""Why a sample subscriber of clients/subscribers cannot run, by its language."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Where the browser is; without one the test is left out."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip(NO_BROWSER)
    return found


@pytest.fixture(autouse=True)
def _what_it_needs(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("kafka_log") and request.getfixturevalue("servers").broker == "tansu":
        pytest.skip(NO_LOG)
    if request.node.get_closest_marker("browser") and not any(map(shutil.which, CHROMIUM)):
        pytest.skip(NO_BROWSER)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and _skipped(session.config)[""]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for reason, tests in _skipped(config).items():
        for test in tests:
            terminalreporter.write_line(f"left out, {reason}: {test}" if reason else f"should have run: {test}")


def _skipped(config: pytest.Config) -> dict[str, list[str]]:
    """Tests that were skipped, by the reason that excuses them; those without one under the empty text."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports: Sequence[pytest.TestReport] = reporter.stats.get("skipped", []) if reporter else []
    found: dict[str, list[str]] = {excuse: [] for excuse in (NO_LOG, NO_BROWSER, *NO_CLIENT.values(), "")}
    for report in reports:
        reason = str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        found[reason if reason in found else ""].append(report.nodeid)
    return found
