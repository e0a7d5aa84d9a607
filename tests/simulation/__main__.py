"""The machine by itself, without looking for the shortest history: whether it finds anything (exit code 1)."""

import logging
import sys

import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Market
from tests.simulation.world import Stuck

EXAMPLES, STEPS = 80, 60


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    quick = settings(
        max_examples=int(sys.argv[1]) if sys.argv[1:] else EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Market, settings=quick)
    except (AssertionError, ExceptionGroup, Stuck) as error:
        print(f"simulation: found: {error!r}"[:300])
        return 1
    print("simulation: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
