"""`make smoke`: a stack of its own on free ports, the parcel sorter's journey end to end, everything stopped again."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from clients.city.client import Refusal
from deploy.local.ports import free_ports
from deploy.local.process import CannotRun
from deploy.local.stack import MARKET, Stack
from tests.e2e.journey import Story


async def walk(story: Story) -> tuple[float, int, int]:
    """The whole journey; returns its seconds, and the services and spans of its one trace."""
    began = time.monotonic()
    await story.verify_employer()
    await story.register_worker()
    await story.post_gig()
    async with story.worker.stream() as messages:
        await story.check_in()
        await story.hear_offer(messages)
    await story.accept()
    await story.see_agreement()
    await story.see_notice()
    seconds = time.monotonic() - began
    trace = await story.trace()
    return seconds, len(trace["services"]), trace["span_count"]


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kuaizhao-smoke-") as folder:
        async with Stack(Path(folder), ports=free_ports(), parts=MARKET) as stack:
            story = Story(stack.gateway, stack.url("web"), stack.operator_password)
            async with story.open():
                seconds, services, spans = await walk(story)
    print(f"smoke: journey ok in {seconds:.1f} s; one trace over {services} services, {spans} spans")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (AssertionError, Refusal, CannotRun, TimeoutError) as error:
        sys.exit(f"smoke: FAILED: {error}")
