"""Nothing lost and nothing doubled in whatever order calls happen, wherever a process dies.

And the model has eyes: with a protection switched off in a copy of the code, it finds what that lets happen.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.chaos.mutants import MUTANTS, Mutant, copy, mutate
from tests.simulation.machine import Market

BEYOND = {
    "ack level",
    "idempotency key",
}
"""What only real servers can show, in `make chaos-mutants`."""

Market.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestMarket = pytest.mark.feature("F13")(Market.TestCase)


SEEN = [mutant for mutant in MUTANTS if mutant.name not in BEYOND]

Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module", autouse=True)
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ended]]]:
    """Each mutant's run, by name: as many at a time as there are processors, from this module's beginning."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {each.name: pool.submit(_simulated, each, tmp_path_factory.mktemp("mutant")) for each in SEEN}
        pool.shutdown(cancel_futures=True)


def _simulated(mutant: Mutant, folder: Path) -> Ended:
    copy(folder)
    mutate(mutant, folder)
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "tests.simulation", "1000"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [mutant.name for mutant in SEEN])
def test_without_a_protection_something_is_found(name: str, simulated: dict[str, Future[Ended]]) -> None:
    ended = simulated[name].result()
    assert ended.returncode == 1, ended.stderr[-2_000:]
    assert ended.stdout.startswith("simulation: found: "), ended.stdout + ended.stderr[-2_000:]
