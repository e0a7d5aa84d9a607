"""`make up`: the whole market on this machine until Ctrl-C. It goes on from what the last run kept.

KUAIZHAO_STATE         the folder for everything kept (.state)
KUAIZHAO_<PART>_PORT   another port for a part, as in KUAIZHAO_GATEWAY_PORT
KUAIZHAO_BROKER        kafka or tansu, instead of Kafka where it can be had
KUAIZHAO_CACHE         the folder for what is fetched once (.cache)
"""

import asyncio
import errno
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.process import CannotRun
from deploy.local.servers import ROOT
from deploy.local.stack import Stack

_began = time.monotonic()


def say(line: str) -> None:
    """A line on the screen with the seconds since the start. That nobody reads it any more is no reason to end."""
    with suppress(BrokenPipeError):
        print(f"{time.monotonic() - _began:6.1f} s  {line}", flush=True)


async def run(state: Path) -> None:
    """Run everything until cancelled."""
    async with Stack(state, say=say) as stack:
        say(f"operator's password: {stack.state / 'secrets.env'}; logs: {stack.data}/*/*.log; Ctrl-C stops everything")
        if "agencies" in stack.parts:
            say(f"other agencies sign in to Kafka at {stack.kafka_for_agencies}: docs/agencies.md lets one in")
        say(f"the market is open: {stack.gateway}")
        try:
            await stack.supervise()
        finally:
            say("stopping")


async def _until_signalled(state: Path) -> None:
    running = asyncio.create_task(run(state))

    def stop() -> None:
        if running.cancelling():  # asked twice: at once, and the kernel ends what we started
            os._exit(130)
        running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with suppress(asyncio.CancelledError):
        await running
    say("stopped")


def main() -> int:
    state = Path(os.environ.get("KUAIZHAO_STATE") or ROOT / ".state")
    try:
        asyncio.run(_until_signalled(state))
    except CannotRun as error:
        print(f"make up: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print(
                f"make up: the disk is full: free some space, or set KUAIZHAO_STATE ({error.filename})", file=sys.stderr
            )
        elif error.errno in {errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOTDIR}:
            print(f"make up: {error.filename}: {error.strerror}; KUAIZHAO_STATE sets another folder", file=sys.stderr)
        else:
            raise
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
