"""Nothing lost and nothing doubled in whatever order calls happen, wherever a process dies.

And the model has eyes: with a protection switched off in a copy of the code, it finds what that lets happen.
"""

import os
import subprocess
import sys
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


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.name not in BEYOND], ids=lambda m: m.name)
def test_without_a_protection_something_is_found(mutant: Mutant, tmp_path: Path) -> None:
    copy(tmp_path)
    mutate(mutant, tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "tests.simulation", "1000"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr[-2_000:]
    assert ended.stdout.startswith("simulation: found: "), ended.stdout + ended.stderr[-2_000:]
