"""The public board shows what the database holds."""

from collections import Counter
from datetime import datetime

import httpx

from services.matching.store import Offer, Placement, Seat, Waiting
from shared.testing import Harness
from tests.service.matching.kit import FURONG, YUELU, accept, checked_in, checked_out, offer_of, posted, run


async def shown(matching: Harness) -> dict[str, dict[str, object]]:
    matching.clock.advance(seconds=1)
    answer = await matching.http.get("/board")
    assert answer.status_code == 200
    return {row["district"]: row for row in answer.json()["districts"]}


async def recount(matching: Harness) -> dict[str, Counter[str]]:
    """The same figures, counted from the documents one by one."""
    now, figures = matching.clock.now, dict[str, Counter[str]]()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)

    def count(name: str, district: str, counts: bool) -> None:
        figures.setdefault(district, Counter())[name] += counts

    for waiting in await matching.all(Waiting):
        count("waiting", waiting.district, waiting.until > now)
    for seat in await matching.all(Seat):
        count("open_seats", seat.district, seat.open and seat.until > now)
    for offer in await matching.all(Offer):
        count("offers_open", offer.district, offer.open and offer.expires_at > now)
    for placement in await matching.all(Placement):
        count("placements", placement.district, placement.status == "placed" and placement.at >= midnight)
    return figures


async def agrees(matching: Harness) -> dict[str, dict[str, object]]:
    board, figures = await shown(matching), await recount(matching)
    assert board.keys() == figures.keys()
    for district, counted in figures.items():
        assert {name: board[district][name] for name in counted} == dict(counted)
    return board


async def test_the_board_equals_a_recount_at_every_step(matching: Harness) -> None:
    assert await agrees(matching) == {}
    await matching.receives(posted(headcount=3), *(checked_in(f"worker-{n}", until=n + 0.5) for n in range(6)))
    await matching.receives(posted("gig-2", district=YUELU, headcount=2), checked_in("far", district=YUELU))
    await agrees(matching)
    await run(matching)
    board = await agrees(matching)
    assert (board[FURONG]["offers_open"], board[YUELU]["waiting"]) == (6, 1)
    placed = await offer_of(matching, "worker-1")
    await accept(matching, placed)
    await matching.receives(checked_out("worker-2"))
    await agrees(matching)
    await run(matching)
    board = await agrees(matching)
    assert board[FURONG]["placements"] == 1
    (placement,) = await matching.all(Placement)
    await matching.http.post(f"/placements/{placement.id}/cancel", headers=matching.as_("worker", "worker-1"))
    await agrees(matching)
    # Validities end although nobody says so; after midnight the day's placements begin anew.
    await accept(matching, await offer_of(matching, "worker-5"))
    for hours in (1, 2, 20):
        matching.clock.advance(hours=hours)
        await agrees(matching)


async def test_the_boards_times_are_those_of_the_last_offers(matching: Harness) -> None:
    delays = []
    for number in range(20):
        await matching.receives(posted(f"gig-{number}"), checked_in(f"worker-{number}"))
        delay = 10 * (number * 7 % 20 + 1)
        matching.clock.advance(milliseconds=delay)
        await run(matching)
        delays.append(delay)
    board = await shown(matching)
    assert board[FURONG]["check_in_to_offer_ms"] == {"p50": 100, "p95": 190, "count": 20}
    assert sorted(delays) == list(range(10, 201, 10))


async def test_a_board_of_this_second_is_not_reckoned_again(matching: Harness) -> None:
    async def at_of() -> datetime:
        answer: httpx.Response = await matching.http.get("/board")
        return datetime.fromisoformat(answer.json()["at"])

    first = await at_of()
    matching.clock.advance(milliseconds=999)
    assert await at_of() == first
    matching.clock.advance(milliseconds=1)
    assert await at_of() == matching.clock.now
