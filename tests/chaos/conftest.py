"""Runs of minutes go on beside the other tests from the session's start, one after another; their tests come last."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUR_PORTS, THEIR_PORTS = "10000-20999", "21000-31999"
"""Whoever looks for free ports at the same moment as the other must not find the same."""
END_SECONDS = 30.0

Run = tuple[str, tuple[tuple[str, str], ...]]
Ended = subprocess.CompletedProcess[str]
RUNS = pytest.StashKey[dict[Run, "Future[Ended]"]]()


class Beside:
    """Runs modules in the background, each a process that is ended with the session."""

    def __init__(self, runs: Mapping[Run, "Future[Ended]"]) -> None:
        self._runs, self._over = runs, False
        # As it is now: a test that runs when a later run begins may have other settings in it for its own use.
        self._environment = dict(os.environ)
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        for (module, environment), future in self._runs.items():
            if self._over:
                return
            try:
                future.set_result(self._run(module, dict(environment)))
            except OSError as error:
                future.set_exception(error)

    def _run(self, module: str, environment: dict[str, str]) -> Ended:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=self._environment | environment | {"KUAIZHAO_FREE_PORTS": THEIR_PORTS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = self._process.communicate()
        return subprocess.CompletedProcess(self._process.args, self._process.returncode, out, err)

    def end(self) -> None:
        """End what still runs: nobody waits for it any more."""
        self._over = True
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._thread.join(END_SECONDS)
            if self._process.poll() is None:
                self._process.kill()


def wanted(item: pytest.Item) -> Run | None:
    """The run that a test asks for with `@pytest.mark.beside(module, VARIABLE=value, …)`."""
    mark = item.get_closest_marker("beside")
    return (mark.args[0], tuple(mark.kwargs.items())) if mark else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: wanted(item) is not None)
    runs: dict[Run, Future[Ended]] = {run: Future() for item in items if (run := wanted(item))}
    config.stash[RUNS] = runs


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    runs = session.config.stash.get(RUNS, {})
    if not runs or session.config.option.collectonly:
        return (yield)
    os.environ["KUAIZHAO_FREE_PORTS"] = OUR_PORTS
    beside = Beside(runs)
    try:
        return (yield)
    finally:
        beside.end()


@pytest.fixture
def ended(request: pytest.FixtureRequest) -> Ended:
    """The run that this test asks for, once it has ended."""
    run = wanted(request.node)
    assert run is not None, "this test names no run with @pytest.mark.beside"
    return request.config.stash[RUNS][run].result()
