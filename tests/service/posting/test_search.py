"""Search against brute force, and paging while the market moves."""

import math
import random
from typing import Any

import pytest

from services.posting.store import Gig
from shared.clock import new_id
from shared.contracts.posting import GigTerms
from shared.testing import Harness
from shared.unit import Unit
from tests.service.posting.market import BISHAN, CHANGSHA_COUNTY, FURONG, OPENS, at, draft, ids, search

DISTRICTS = (CHANGSHA_COUNTY, FURONG, BISHAN)
OCCUPATIONS = ("4-02-07-02", "4-03-02-01")
EARTH_M = 6_378_100
"""The radius that MongoDB computes with."""


def metres(gig: Gig, lat: float, lon: float) -> float:
    """Great-circle distance by the haversine formula."""
    a, b = math.radians(gig.terms.place.lat), math.radians(lat)
    dlon = math.radians(gig.terms.place.lon - lon)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(dlon / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(h))


def gig(**changes: Any) -> Gig:
    """A gig as it is kept; `place`, `status` and others as given."""
    kept = {name: changes.pop(name) for name in ("district", "status") if name in changes}
    form = draft(**changes)
    district = kept.pop("district", form.pop("district"))
    terms = GigTerms.model_validate(form | {"employer_id": "e1", "employer_name": "长沙星沙分拣有限公司"})
    return Gig(id=new_id(), district=district, terms=terms, posted_at=OPENS, **kept)


def place(lat: float, lon: float) -> dict[str, Any]:
    return {"lat": lat, "lon": lon, "address": "测试路 1 号"}


async def keep(posting: Harness, *gigs: Gig) -> None:
    async def save(unit: Unit) -> None:
        for each in gigs:
            unit.save(each)

    await posting.runtime.store.transact(save)


def a_market(seed: int, size: int = 120) -> list[Gig]:
    """Gigs in all states around Changsha; every third shares one of four workplaces, so that distances tie."""
    chance = random.Random(seed)
    spots = [(28.2 + chance.uniform(-0.1, 0.1), 113.0 + chance.uniform(-0.1, 0.1)) for _ in range(4)]
    market = []
    for number in range(size):
        spot = (28.2 + chance.uniform(-0.2, 0.2), 113.0 + chance.uniform(-0.2, 0.2))
        market.append(
            gig(
                place=place(*(chance.choice(spots) if number % 3 == 0 else spot)),
                district=chance.choice(DISTRICTS),
                occupation=chance.choice(OCCUPATIONS),
                status=chance.choice(("open", "open", "open", "filled", "closed")),
                valid_until=at(hours=chance.choice((-1, 0, 1, 2))),
            )
        )
    return market


async def pages(posting: Harness, **query: Any) -> list[dict[str, Any]]:
    """All items of a search, page by page."""
    items: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = await search(posting, **query, **after)
        items += page["items"]
        if page["next"] is None:
            return items
        assert page["items"]
        after = {"after": page["next"]}


@pytest.mark.feature("F33")
@pytest.mark.parametrize("seed", range(6))
async def test_search_equals_brute_force(posting: Harness, seed: int) -> None:
    chance = random.Random(seed)
    market = a_market(seed)
    await keep(posting, *market)
    shown = [each for each in market if each.status == "open" and each.terms.valid_until > posting.clock.now]
    assert 20 < len(shown) < len(market)
    for _ in range(8):
        districts = chance.sample(DISTRICTS, chance.randint(0, 2))
        occupation = chance.choice((None, *OCCUPATIONS))
        fits = [
            each
            for each in shown
            if (not districts or each.district in districts) and occupation in (None, each.terms.occupation)
        ]
        query: dict[str, Any] = {"district": districts, "limit": chance.choice((1, 3, 10, 100))}
        query |= {} if occupation is None else {"occupation": occupation}
        newest_first = sorted((each.id for each in fits), reverse=True)
        assert [item["gig_id"] for item in await pages(posting, **query)] == newest_first

        lat, lon = 28.2 + chance.uniform(-0.1, 0.1), 113.0 + chance.uniform(-0.1, 0.1)
        within = chance.choice((None, 3_000, 8_000, 20_000))
        near = query | {"near": f"{lat},{lon}"} | ({} if within is None else {"within_m": within})
        inside = [each for each in fits if within is None or metres(each, lat, lon) <= within]
        found = await pages(posting, **near)
        assert sorted(item["gig_id"] for item in found) == sorted(each.id for each in inside)
        by_id = {each.id: each for each in inside}
        true = [metres(by_id[item["gig_id"]], lat, lon) for item in found]
        assert [item["distance_m"] for item in found] == pytest.approx(true, abs=1)
        for (one, d1), (two, d2) in zip(
            zip(found, true, strict=True), list(zip(found, true, strict=True))[1:], strict=False
        ):
            same_place = one["place"] == two["place"]
            assert one["gig_id"] > two["gig_id"] if same_place else d1 <= d2 + 1e-6


async def test_many_gigs_at_one_place_are_paged_without_loss(posting: Harness) -> None:
    crowd = [gig(place=place(28.21, 113.01)) for _ in range(23)]
    apart = [gig(place=place(28.2 + n / 100, 113.0)) for n in (1, 2, 3)]
    await keep(posting, *crowd, *apart)
    for limit in (1, 2, 5, 22, 23, 24, 100):
        items = await pages(posting, near="28.2,113.0", limit=limit)
        assert len(items) == 26
        assert len({item["gig_id"] for item in items}) == 26
        at_one_place = [item["gig_id"] for item in items if item["place"]["lon"] == 113.01]
        assert at_one_place == sorted((each.id for each in crowd), reverse=True)


@pytest.mark.parametrize("near", [None, "28.2,113.0"])
async def test_pages_hold_while_gigs_come_and_go(posting: Harness, near: str | None) -> None:
    first = [gig(place=place(28.2 + n / 1000, 113.0)) for n in range(12)]
    await keep(posting, *first)
    query: dict[str, Any] = {"limit": 4} | ({"near": near} if near else {})
    seen: list[str] = []
    after: dict[str, str] = {}
    arrivals = 0
    while True:
        page = await search(posting, **query, **after)
        seen += ids(page)
        if page["next"] is None:
            break
        after = {"after": page["next"]}
        if arrivals < 3:
            arrivals += 1
            await keep(posting, gig(place=place(28.2, 113.0)))
    assert len(seen) == len(set(seen))
    assert [id for id in seen if id in {each.id for each in first}] == (
        [each.id for each in first] if near else [each.id for each in reversed(first)]
    )


@pytest.mark.feature("F11")
async def test_one_query_covers_all_districts(posting: Harness) -> None:
    gigs = [gig(district=district) for district in DISTRICTS]
    await keep(posting, *gigs)
    assert ids(await search(posting)) == [each.id for each in reversed(gigs)]
    assert ids(await search(posting, district=[FURONG, BISHAN])) == [gigs[2].id, gigs[1].id]
    assert ids(await search(posting, district="330110")) == []


async def test_search_is_public_and_the_same_in_every_language(posting: Harness) -> None:
    await keep(posting, gig())
    zh = await posting.http.get("/gigs", headers={"accept-language": "zh"})
    en = await posting.http.get("/gigs", headers={"accept-language": "en"})
    assert zh.json() == en.json()
    assert len(zh.json()["items"]) == 1
    assert zh.json()["items"][0]["distance_m"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"near": "28.2"}, "near"),
        ({"near": "91,113"}, "near"),
        ({"near": "nan,nan"}, "near"),
        ({"near": "28.2,113,0"}, "near"),
        ({"within_m": "3000"}, "within_m"),
        ({"near": "28.2,113", "within_m": "0"}, "within_m"),
        ({"near": "28.2,113", "after": "x"}, "after"),
        ({"near": "28.2,113", "after": "nan:x"}, "after"),
        ({"near": "28.2,113", "after": "12.5"}, "after"),
        ({"district": "4301"}, "district.0"),
        ({"occupation": "cook"}, "occupation"),
        ({"limit": "101"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"distrct": "430102"}, "distrct"),
    ],
)
@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_wrong_question_is_named(posting: Harness, query: dict[str, str], field: str, language: str) -> None:
    answer = await posting.http.get("/gigs", params=query, headers={"accept-language": language})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert answer.json()["errors"][0]["detail"].isascii() == (language == "en")
