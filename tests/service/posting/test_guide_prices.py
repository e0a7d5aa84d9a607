"""Guide prices against a recount of the posts."""

import random
from datetime import timedelta
from typing import Any

import pytest

from services.posting.store import Gig
from services.posting.tables import SEARCH
from shared.testing import Harness
from tests.service.posting.market import BISHAN, CHANGSHA_COUNTY, FURONG, OPENS, Body
from tests.service.posting.test_search import gig, hourly, keep

SORTER, COURIER, PACKER = "4-02-07-09", "4-02-07-08", "6-31-05-00"
LEAST, DAYS = SEARCH.guide_least_posts, SEARCH.guide_days


async def guide(posting: Harness, district: str, occupation: str) -> Body:
    answer = await posting.http.get("/guide-prices", params={"district": district, "occupation": occupation})
    assert answer.status_code == 200, answer.text
    body: Body = answer.json()
    return body


def paid(amount: int, unit: str = "hour", **more: Any) -> Gig:
    return gig(pay={"amount_fen": amount, "unit": unit, "mode": "same-day"}, **{"occupation": SORTER} | more)


def counted(market: list[Gig], area: str, occupation: str) -> list[int]:
    """What posts that count pay by the hour, the lowest first."""
    return sorted(
        hourly(each)
        for each in market
        if each.district.startswith(area)
        and each.terms.occupation.startswith(occupation)
        and each.posted_at >= OPENS - timedelta(days=DAYS)
        and each.closed_reason != "suspended"
        and hourly(each)
    )


def quartile(ascending: list[int], part: int) -> int:
    """The least figure that at least `part` quarters of all do not exceed."""
    return next(fen for fen in ascending if 4 * sum(other <= fen for other in ascending) >= part * len(ascending))


@pytest.mark.feature("F29")
async def test_guide_prices_equal_a_recount(posting: Harness) -> None:
    chance = random.Random(1)
    pay = (
        [(n, "hour") for n in range(1_800, 3_000)] + [(n, "day") for n in range(15_000, 17_000)] + [(50, "piece")] * 300
    )
    market = [
        paid(
            *chance.choice(pay),
            occupation=chance.choice((SORTER, SORTER, COURIER, PACKER)),
            district=chance.choice((FURONG, FURONG, CHANGSHA_COUNTY, "430602", BISHAN)),
            posted_at=OPENS - timedelta(days=chance.randint(0, DAYS * 5 // 4)),
            status=chance.choice(("open", "filled", "closed")),
        )
        for _ in range(220)
    ]
    for each in market:
        if each.status == "closed":
            each.closed_reason = chance.choice(("employer", "expired", "suspended"))
    await keep(posting, *market)
    areas = set()
    for district in (FURONG, CHANGSHA_COUNTY, "430602", "430181", BISHAN, "330110"):
        for occupation in (SORTER, COURIER, PACKER, "4-02-07", "4", "8"):
            said = await guide(posting, district, occupation)
            wider = (district, district[:4], district[:2])
            area = next((each for each in wider if len(counted(market, each, occupation)) >= LEAST), None)
            pays = counted(market, area, occupation) if area else []
            assert (said["area"], said["posts"]) == (area, len(pays))
            assert [said[name] for name in ("p25_fen", "p50_fen", "p75_fen")] == (
                [quartile(pays, part) for part in (1, 2, 3)] if pays else [None] * 3
            )
            areas.add(len(area) if area else 0)
    assert areas == {0, 2, 4, 6}


@pytest.mark.feature("F29")
async def test_one_post_too_few_shows_the_wider_areas_or_none(posting: Harness) -> None:
    await keep(posting, *(paid(2_000 + n, district=FURONG) for n in range(LEAST - 1)))
    assert (await guide(posting, FURONG, SORTER))["area"] is None
    await keep(posting, paid(9_000, district="430602"))
    assert (await guide(posting, FURONG, SORTER))["area"] == "43"
    await keep(posting, paid(9_000, district=CHANGSHA_COUNTY))
    assert (await guide(posting, FURONG, SORTER))["area"] == "4301"
    await keep(posting, paid(9_000, district=FURONG))
    said = await guide(posting, FURONG, SORTER)
    assert (said["area"], said["posts"], said["days"], said["least_posts"]) == (FURONG, LEAST, DAYS, LEAST)
    assert (await guide(posting, BISHAN, SORTER))["area"] is None


async def test_a_post_counts_to_the_second_of_its_days(posting: Harness) -> None:
    at_the_edge = OPENS - timedelta(days=DAYS)
    await keep(posting, *(paid(2_000, posted_at=at_the_edge) for _ in range(LEAST)))
    assert (await guide(posting, CHANGSHA_COUNTY, SORTER))["posts"] == LEAST
    posting.clock.advance(seconds=1)
    assert (await guide(posting, CHANGSHA_COUNTY, SORTER))["posts"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"occupation": "4-02"}, "district"),
        ({"district": FURONG}, "occupation"),
        ({"district": "4301", "occupation": "4-02"}, "district"),
        ({"district": FURONG, "occupation": "sorter"}, "occupation"),
        ({"district": FURONG, "occupation": "4-02", "trade": "4"}, "trade"),
    ],
)
async def test_a_wrong_question_is_named(posting: Harness, query: dict[str, str], field: str) -> None:
    for language in ("zh", "en"):
        answer = await posting.http.get("/guide-prices", params=query, headers={"accept-language": language})
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
        assert answer.json()["errors"][0]["detail"].isascii() == (language == "en")
