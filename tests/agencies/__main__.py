"""`make agencies-test`: four subscribers, in four languages, come to the state that the services have."""

import asyncio
import sys
import tempfile
from pathlib import Path

from deploy.local.found import found_servers
from deploy.local.process import CannotRun
from tests.agencies.act import Scene, act
from tests.agencies.samples import SAMPLES


def faults(scene: Scene) -> list[str]:
    """What is not as it should be, a sentence each."""
    owner, late_owner = scene.owners
    found = [
        f"{language}{late} has {digest}, the services have {wanted}"
        for late, ended, wanted in (("", scene.from_the_beginning, owner), (", late,", scene.late, late_owner))
        for language, (_, digest) in ended.items()
        if digest != wanted
    ]
    if len({count for count, _ in scene.from_the_beginning.values()}) != 1:
        found.append(f"not all have read as many events: {scene.from_the_beginning}")
    return found + scene.personal


def line(scene: Scene) -> str:
    """What came of it. The events are those that each subscriber read from the beginning, and of the late ones."""
    count = max(count for count, _ in scene.from_the_beginning.values())
    wrong = faults(scene)
    hashes = "hashes equal" if len(wrong) == len(scene.personal) else "HASHES DIFFER"
    clients = len(scene.from_the_beginning)
    return f"agencies: {clients} clients, {count} events, {hashes}, {len(scene.personal)} personal data"


async def play(mongo_url: str) -> int:
    with tempfile.TemporaryDirectory(prefix="kuaizhao-agencies-") as folder:
        async with act(Path(folder), mongo_url) as scene:
            for wrong in faults(scene):
                print(f"agencies: {wrong}", file=sys.stderr)
            for name, ended in (("from the beginning", scene.from_the_beginning), ("late", scene.late)):
                for language, (count, digest) in ended.items():
                    print(f"agencies: {language}, {name}: {count} events, {digest}")
            print(line(scene))
            return 1 if faults(scene) else 0


def main() -> int:
    for sample in SAMPLES:
        if missing := sample.missing():
            print(f"agencies: the {sample.language} subscriber needs {', '.join(missing)}", file=sys.stderr)
            return 1
    with found_servers() as servers:
        return asyncio.run(play(servers.mongo_url))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, CannotRun, OSError) as error:
        sys.exit(f"agencies: FAILED: {error}")
