"""Memory of every process: `python -m bench.memory [SECONDS]`.

A whole market with a busy city for so long (120 s), then matching in the burst of bench/burst.py.

What requests and limits in deploy/k8s go by: resident memory at the end, and the most that it was.
"""

import asyncio
import os
import random
import re
import sys
import tempfile
from pathlib import Path

from bench.burst import OPENINGS, PEOPLE, all_known, listening, opening, producing, say, waiting
from deploy.local.ports import free_ports
from deploy.local.stack import Stack

PACE = "5"
"""Times as busy as the city of `make up`."""


async def memory(seconds: float) -> dict[str, tuple[int, int]]:
    """MiB now and at most, by process."""
    os.environ["KUAIZHAO_CITY_PACE"] = PACE
    with tempfile.TemporaryDirectory(prefix="kuaizhao-memory-") as folder:
        async with Stack(Path(folder), ports=free_ports(), say=lambda line: None) as stack:
            await asyncio.sleep(seconds)
            return {name: _resident(process.pid) for name, process in stack.processes.items() if process.pid}


async def burst() -> tuple[int, int]:
    """MiB of matching now and at most, after a burst over a full district."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="kuaizhao-memory-") as folder:
        stack = Stack(Path(folder), ports=free_ports(), parts=["matching"], say=lambda line: None)
        async with stack, producing(stack.kafka) as producer:
            await say(producer, [waiting(chance, n) for n in range(PEOPLE)])
            await all_known(stack.mongo_url, "matching", "waiting", PEOPLE)
            async with listening(stack.kafka, "matching.offer") as listener:
                await say(producer, [opening(chance, str(n)) for n in range(OPENINGS)])
                heard = 0
                while heard < OPENINGS:
                    heard += sum(map(len, (await listener.getmany(timeout_ms=200)).values()))
            return _resident(stack.processes["matching"].pid or 0)


def _resident(pid: int) -> tuple[int, int]:
    status = Path(f"/proc/{pid}/status").read_text()
    now, most = (int(re.findall(rf"(?m)^{field}:\s+(\d+) kB", status)[0]) >> 10 for field in ("VmRSS", "VmHWM"))
    return now, most


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    print("| process | after | at most |\n|---|---|---|")
    for name, (now, most) in asyncio.run(memory(seconds)).items():
        print(f"| {name} | {now} MiB | {most} MiB |")
    now, most = asyncio.run(burst())
    print(f"| matching, a burst | {now} MiB | {most} MiB |")


if __name__ == "__main__":
    main()
