"""`make chaos SEED=… KILLS=… MINUTES=…`: nothing lost, nothing doubled, whatever is killed.

Real processes, two or more of each reacting service, with a fault proxy on every link. The last line is
`chaos: kills=… lost=… doubled=… overfilled=… overlaps=… dead=…`; findings stand above it. Exit code 1 when there are
any, 2 when the run is void: what it must have seen (a fenced zombie, …) was not there; 69 when it could not run.
PATIENCE is how many seconds all may take to come to rest after the last fault (240), ZOMBIES how many sleepers more are
tried when none has met the fence (8), REPLICAS how many processes a reacting service has (2, at most 4), PAUSE how
many seconds a person waits between two acts (0.5 on average), FICKLE in what share of a worker's acts something agreed
is taken back (0.08). HASTY ends a run whose log is wrong before it is healed.
"""

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from deploy.local.kafka_dist import Say
from deploy.local.process import CannotRun
from tests.chaos.run import Result, run
from tests.chaos.workload import Size

KILLS = 40


BEGAN = time.monotonic()


def say(line: str) -> None:
    print(f"chaos: {line}", flush=True)


def tell_now(line: str) -> None:
    """What happens while it runs, with the seconds since its beginning."""
    say(f"[{time.monotonic() - BEGAN:4.0f} s] {line}")


def main() -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says of a killed broker is no news here
    seed = int(os.environ.get("SEED") or random.randrange(10_000))
    kills = int(os.environ.get("KILLS") or KILLS)
    minutes = float(os.environ["MINUTES"]) if os.environ.get("MINUTES") else None
    replicas = int(os.environ.get("REPLICAS") or 2)
    size = replace(
        Size(),
        pause=float(os.environ.get("PAUSE") or Size.pause),
        fickle=float(os.environ.get("FICKLE") or Size.fickle),
    )
    say(f"SEED={seed} KILLS={kills}")
    with tempfile.TemporaryDirectory(prefix="kuaizhao-chaos-", ignore_cleanup_errors=True) as folder:
        try:
            result = asyncio.run(
                run(
                    Path(folder),
                    seed=seed,
                    kills=kills,
                    minutes=minutes,
                    size=size,
                    say=tell_now,
                    replicas=replicas,
                )
            )
        except CannotRun as error:
            say(f"cannot run: {error}")
            return os.EX_UNAVAILABLE
    return tell(result, say)


def tell(result: Result, say: Say, first: str = "") -> int:
    """Say what was found, and the last line, which `first` begins; the exit code."""
    for finding in (*result.report.findings, *result.findings):
        say(f"found: {finding}")
    if result.seen.missing:
        say(f"void: this run had no {', no '.join(result.seen.missing)}")
    say(f"{first}{result.line}")
    if not result.report.clean or result.findings:
        return 1
    return 2 if result.seen.missing else 0


if __name__ == "__main__":
    sys.exit(main())
