"""`python -m clients.city`: the simulated city against a running market, until it is stopped.

KUAIZHAO_GATEWAY   the gateway's address (http://127.0.0.1:8000)
KUAIZHAO_SMS_URL   where its people read their SMS
KUAIZHAO_OPERATOR_PASSWORD, KUAIZHAO_CITY_PACE (a factor on how busy it is, 1 by default)
"""

import asyncio
import os
import signal
import sys

import httpx

from clients.city.client import Refusal
from clients.city.market import Market, Pace

SAY_EVERY = 30.0


async def main() -> None:
    pace, factor = Pace(), float(os.environ.get("KUAIZHAO_CITY_PACE", "1"))
    market = Market(
        os.environ.get("KUAIZHAO_GATEWAY", "http://127.0.0.1:8000"),
        os.environ.get("KUAIZHAO_SMS_URL", "http://127.0.0.1:8100/sms"),
        os.environ.get("KUAIZHAO_OPERATOR_PASSWORD", ""),
        Pace(check_ins=pace.check_ins * factor, gigs=pace.gigs * factor),
    )
    running = asyncio.create_task(_forever(market))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    saying = asyncio.create_task(_say(market))
    try:
        await running
    except asyncio.CancelledError:
        pass
    finally:
        saying.cancel()
        await market.close()


async def _forever(market: Market) -> None:
    """Begin again when the market is away: a city does not end because a service restarts."""
    while True:
        try:
            await market.run()
        except* (Refusal, httpx.HTTPError, TimeoutError) as group:
            print(
                f"city: the market does not answer as it should, again in 5 s: {group.exceptions[0]!r}", file=sys.stderr
            )
        await asyncio.sleep(5)


async def _say(market: Market) -> None:
    while True:
        await asyncio.sleep(SAY_EVERY)
        print(f"city: {dict(market.done)} refused {dict(market.refused)}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
