"""`make chaos-mutants`: each protection switched off in a copy of the code, and the suite must notice.

A run that finds nothing in broken code proves nothing about sound code. Each mutant is a change of the source, so that
what ships has no switch that could be left off; a change that no longer fits its source is an error here.

Names of mutants may be given; JOBS is how many run at a time (1).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SEEDS, KILLS, MINUTES, PATIENCE, FICKLE, PAUSE = ("11", "12", "13"), "16", "0.7", "100", "0.35", "1.5"
"""A mutant has so many runs to be caught in; the unchanged code must be clean in each. People take back more than they
usually do: what is given back and taken again is what the order between aggregates is for. They pause, so that two
cores answer at once and much happens between two faults."""


class Mutant(NamedTuple):
    """A protection, and what to replace where so that it is gone."""

    name: str
    changes: tuple[tuple[str, str, str], ...]


MUTANTS = (
    Mutant(
        "inbox",
        (
            (
                "shared/delivery.py",
                "            if letter.id in seen:\n",
                "            if False:\n",
            ),
            (
                "shared/delivery.py",
                'await unit.db["_inbox"].insert_many(marks, session=unit.session)',
                "del marks",
            ),
        ),
    ),
    Mutant(
        "fence",
        (("shared/delivery.py", '{"_id": fence, "next": at}, {"$set"', '{"_id": fence}, {"$set"'),),
    ),
    Mutant(
        "unique seat",
        (
            (
                "services/matching/deals.py",
                "for document in (seat, offer, commitments, placement):",
                "for document in (offer, commitments, placement):",
            ),
        ),
    ),
    Mutant(
        "commitment compare-and-set",
        (
            (
                "services/matching/deals.py",
                "for document in (seat, offer, commitments, placement):",
                "for document in (seat, offer, placement):",
            ),
            (
                "services/matching/deals.py",
                "    unit.save(commitments)\n    unit.publish(made(placement)",
                "    unit.publish(made(placement)",
            ),
        ),
    ),
    Mutant(
        "ack level",
        (("shared/bus.py", 'acks="all"', "acks=0"),),
    ),
    Mutant(
        "outbox in the transaction",
        (
            (
                "shared/unit.py",
                "[row.to_mongo() for row in rows], session=self.session",
                "[row.to_mongo() for row in rows]",
            ),
        ),
    ),
    Mutant(
        "rows deleted after their publishing",
        (
            (
                "shared/relay.py",
                "        places = await self._producer.places(waiting)\n",
                "        places = await self._producer.places(waiting)\n"
                '        await self._db["_outbox"].delete_many({"_id": {"$in": [row.id for row in waiting]}})\n',
            ),
        ),
    ),
    Mutant(
        "order of an aggregate",
        (("shared/relay.py", "known[row.stream])} - asked", "known[row.stream]) and False} - asked"),),
    ),
    Mutant(
        "order between aggregates",
        (
            (
                "shared/relay.py",
                "for row in rows for stream in row.after}",
                "for row in rows for stream in row.after[:0]}",
            ),
        ),
    ),
    Mutant(
        "idempotency key",
        (
            (
                "shared/http.py",
                "                if key is None:\n                    return await handle(request)\n",
                "                if True:\n                    return await handle(request)\n",
            ),
        ),
    ),
)


def mutate(mutant: Mutant, root: Path) -> None:
    """Change a copy of the tree. Raises ValueError when a piece to replace does not stand there exactly once."""
    for path, old, new in mutant.changes:
        text = (root / path).read_text("utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{mutant.name}: stands {text.count(old)} times in {path}: {old.strip().splitlines()[0]}")
        (root / path).write_text(text.replace(old, new), "utf-8")


def copy(root: Path) -> None:
    """The tracked files, as they are now."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)


def caught(root: Path, say: str) -> bool:
    """Run the suite in a mutated tree, by one seed after another until it is caught."""
    return any(caught_by(seed, root, say) for seed in SEEDS)


def caught_by(seed: str, root: Path, say: str) -> bool:
    """Run the suite and say what it found. A run that could not judge has caught nothing."""
    began = time.monotonic()
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "KUAIZHAO_CACHE": os.environ.get("KUAIZHAO_CACHE", str(ROOT / ".cache")),
        "SEED": seed,
        "KILLS": KILLS,
        "MINUTES": MINUTES,
        "PATIENCE": PATIENCE,
        "FICKLE": FICKLE,
        "PAUSE": PAUSE,
        "HASTY": "1",
    }
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.chaos"],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != os.EX_UNAVAILABLE:  # two that start at the same moment may choose the same free port
            break
    lines = [line for line in ended.stdout.splitlines() if line.startswith("chaos: ")]
    found = [line for line in lines if line.startswith("chaos: found: ")]
    last = lines[-1] if lines else ended.stderr.strip()[-300:]
    print(
        f"{say}, seed {seed}: exit {ended.returncode}, {len(found)} findings, {time.monotonic() - began:.0f} s; {last}",
        flush=True,
    )
    for line in found[:2]:
        print(f"    {line.removeprefix('chaos: ')}", flush=True)
    if ended.returncode == 1 and not found:
        print(f"    the run itself broke down: {ended.stderr[-3_000:]}", flush=True)
    return ended.returncode == 1 and bool(found)


def killed(mutant: Mutant, folder: Path) -> bool:
    """Whether the suite notices what is missing."""
    root = Path(tempfile.mkdtemp(dir=folder))
    copy(root)
    mutate(mutant, root)
    try:
        return caught(root, mutant.name)
    finally:
        shutil.rmtree(root)


def main() -> int:
    wanted = sys.argv[1:] or [mutant.name for mutant in MUTANTS]
    mutants = [mutant for mutant in MUTANTS if mutant.name in wanted]
    with tempfile.TemporaryDirectory(prefix="kuaizhao-mutants-") as folder:
        sound = Path(folder, "sound")
        copy(sound)
        if caught(sound, "unchanged"):
            print("mutants: the unchanged code is found fault with, so that nothing can be said of mutants")
            return 1
        with ThreadPoolExecutor(max_workers=int(os.environ.get("JOBS") or 1)) as pool:
            found = sum(pool.map(lambda mutant: killed(mutant, Path(folder)), mutants))
    print(f"mutants: {found} of {len(mutants)} caught")
    return 0 if found == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
