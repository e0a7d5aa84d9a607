"""Search against brute force: every filter alone and with others, every order, pages of odd sizes."""

import math
import random
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.posting.store import Gig
from services.posting.tables import OCCUPATIONS
from shared.clock import new_id
from shared.contracts.posting import GigTerms
from shared.testing import Harness
from shared.unit import Unit
from tests.service.posting.market import (
    BISHAN,
    CHANGSHA_COUNTY,
    FURONG,
    OPENS,
    Body,
    amend,
    at,
    draft,
    ids,
    search,
    verified,
)
from tests.service.posting.market import post as post_gig

DISTRICTS = (CHANGSHA_COUNTY, FURONG, BISHAN)
TRADES = ("4-02-07-09", "4-02-07-08", "4-02-05-01", "6-31-05-00", "9-99-99-99")
EARTH_M = 6_378_100
"""The radius that MongoDB computes with."""

Query = dict[str, Any]


def metres(gig: Gig, lat: float, lon: float) -> float:
    """Great-circle distance by the haversine formula."""
    a, b = math.radians(gig.terms.place.lat), math.radians(lat)
    dlon = math.radians(gig.terms.place.lon - lon)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(dlon / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(h))


def gig(**changes: Any) -> Gig:
    """A gig as it is kept; its terms as given, and what is beside them."""
    kept = {name: changes.pop(name) for name in ("district", "status", "posted_at") if name in changes}
    employer = changes.pop("employer", "长沙星沙分拣有限公司")
    form = draft(**changes)
    district = kept.pop("district", form.pop("district"))
    terms = GigTerms.model_validate(form | {"employer_id": "e1", "employer_name": employer})
    return Gig(id=new_id(), district=district, terms=terms, **{"posted_at": OPENS, **kept})


def place(lat: float, lon: float) -> Body:
    return {"lat": lat, "lon": lon, "address": "测试路 1 号"}


async def keep(posting: Harness, *gigs: Gig) -> None:
    async def save(unit: Unit) -> None:
        for each in gigs:
            unit.save(each)

    await posting.runtime.store.transact(save)


def a_gig(chance: random.Random, spots: list[tuple[float, float]]) -> Gig:
    """One of a market in which places, pay and times of posting tie."""
    spot = (28.2 + chance.uniform(-0.2, 0.2), 113.0 + chance.uniform(-0.2, 0.2))
    start = OPENS + timedelta(minutes=30 * chance.randint(1, 40))
    unit, amount = chance.choice((("hour", 2_000), ("hour", 2_250), ("day", 18_000), ("day", 20_000), ("piece", 50)))
    return gig(
        title=chance.choice(("快递分拣员", "夜班分拣", "ＡＢＣ Ｓhop 导购", "工厂打包工", "搬运工（日结）")),
        content=chance.choice(("包裹分拣装车", "商场 促销 发传单", "流水线包装，两班倒", "Unload TRUCKS at the dock")),
        employer=chance.choice(("长沙星沙分拣有限公司", "岳麓商贸有限公司")),
        occupation=chance.choice(TRADES),
        place=place(*(chance.choice(spots) if chance.random() < 0.4 else spot)),
        district=chance.choice(DISTRICTS),
        status=chance.choice(("open", "open", "open", "open", "filled", "closed")),
        period={"start": start.isoformat(), "end": (start + timedelta(hours=chance.choice((4, 8)))).isoformat()},
        pay={"amount_fen": amount, "unit": unit, "mode": "same-day"},
        skills=chance.choice(([], ["parcel-sorting"])),
        certificates=chance.choice(([], [], ["health"])),
        meals=chance.random() < 0.5,
        lodging=chance.random() < 0.3,
        night_work=chance.random() < 0.3,
        hiring=chance.choice(("instant", "confirm")),
        valid_until=at(hours=chance.choice((-1, 0, 1, 2, 3))),
        posted_at=OPENS - timedelta(minutes=chance.randint(0, 20)),
    )


def a_market(seed: int, size: int) -> list[Gig]:
    chance = random.Random(seed)
    spots = [(28.2 + chance.uniform(-0.1, 0.1), 113.0 + chance.uniform(-0.1, 0.1)) for _ in range(4)]
    return [a_gig(chance, spots) for _ in range(size)]


# --- by brute force ------------------------------------------------------------------------------------------------


def hourly(gig: Gig) -> int:
    """By code of its own; all shifts here are shorter than a day."""
    amount, hours = gig.terms.pay.amount_fen, (gig.terms.period.end - gig.terms.period.start).total_seconds() / 3600
    return {"hour": amount, "day": int(amount / hours), "piece": 0}[gig.terms.pay.unit]


def says(gig: Gig, q: str) -> bool:
    name = OCCUPATIONS.get(gig.terms.occupation)
    told = [gig.terms.title, gig.terms.content, gig.terms.employer_name, *((name.zh, name.en) if name else ())]
    texts = [unicodedata.normalize("NFKC", text).lower() for text in told]
    return all(any(word in text for text in texts) for word in unicodedata.normalize("NFKC", q).lower().split())


def fits(gig: Gig, now: datetime, query: Query) -> bool:
    terms = gig.terms
    tests: dict[str, Callable[[Any], bool]] = {
        "q": lambda q: says(gig, q),
        "district": lambda some: not some or any(gig.district.startswith(each) for each in some),
        "occupation": lambda trade: terms.occupation.startswith(trade),
        "min_fen_per_hour": lambda least: hourly(gig) >= least,
        "from": lambda moment: terms.period.start >= datetime.fromisoformat(moment),
        "to": lambda moment: terms.period.end <= datetime.fromisoformat(moment),
        "meals": lambda wanted: terms.meals or not wanted,
        "lodging": lambda wanted: terms.lodging or not wanted,
        "no_night_work": lambda wanted: not (wanted and terms.night_work),
        "hiring": lambda how: terms.hiring == how,
        "no_requirements": lambda wanted: not (wanted and (terms.skills or terms.certificates)),
        "within_m": lambda most: metres(gig, query["lat"], query["lon"]) <= most,
        "minutes": lambda minutes: metres(gig, query["lat"], query["lon"]) <= 200 * minutes,
    }
    shown = gig.status == "open" and terms.valid_until > now
    return shown and all(holds(query[name]) for name, holds in tests.items() if name in query)


def in_order(gigs: list[Gig], order: str, query: Query) -> list[str]:
    ranks: dict[str, Callable[[Gig], float]] = {
        "newest": lambda gig: -gig.posted_at.timestamp(),
        "best-pay": lambda gig: -hourly(gig),
        "nearest": lambda gig: round(metres(gig, query["lat"], query["lon"]), 3),
    }
    newest_ids_first = sorted(gigs, key=lambda gig: gig.id, reverse=True)
    return [gig.id for gig in sorted(newest_ids_first, key=ranks[order])]


def as_sent(query: Query) -> Query:
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}


async def pages(posting: Harness, **query: Any) -> list[Body]:
    """All items of a search, page by page."""
    items: list[Body] = []
    after: dict[str, str] = {}
    while True:
        page = await search(posting, **as_sent(query), **after)
        items += page["items"]
        if page["next"] is None:
            return items
        assert len(page["items"]) == query.get("limit", 20)
        after = {"after": page["next"]}


ALONE: list[Query] = [
    *({"q": q} for q in ("分拣", "拣", "工", "abc", "SHOP 导购", "分拣 岳麓", "快件处理", "courier", "车包", "S AT")),
    *({"district": each} for each in ([FURONG], [FURONG, BISHAN], ["4301"], ["43", BISHAN], ["50"], ["330110"])),
    *({"occupation": each} for each in ("4", "4-02", "4-02-07", "4-02-07-09", "6-31-05-00", "8")),
    *({"min_fen_per_hour": each} for each in (1, 2_000, 2_001, 2_250, 2_500, 5_001)),
    *({"from": at(hours=each)} for each in (0.5, 6, 21)),
    *({"to": at(hours=each)} for each in (4.5, 12, 30)),
    *({name: value} for name in ("meals", "lodging", "no_night_work", "no_requirements") for value in (True, False)),
    *({"hiring": each} for each in ("instant", "confirm")),
]  # fmt: skip
AROUND = {"lat": 28.2, "lon": 113.0}


@pytest.mark.feature("F33", "F11")
async def test_each_filter_alone_equals_brute_force(posting: Harness) -> None:
    market = a_market(1, 220)
    await keep(posting, *market)
    for query in [{}, *ALONE, *(AROUND | {"within_m": each} for each in (1, 3_000, 100_000)), AROUND | {"minutes": 15}]:
        found = await search(posting, **as_sent(query), limit=100, order="newest")
        expected = in_order([each for each in market if fits(each, posting.clock.now, query)], "newest", query)
        assert ids(found) == expected[:100], query


@pytest.mark.feature("F33")
@pytest.mark.parametrize("seed", range(3))
async def test_filters_together_in_every_order_over_pages_equal_brute_force(posting: Harness, seed: int) -> None:
    chance = random.Random(seed)
    market = a_market(seed, 160)
    await keep(posting, *market)
    by_id = {each.id: each for each in market}
    many = 0
    for number in range(10):
        query: Query = {}
        for part in chance.sample(ALONE, number % 4):
            query |= part
        if "from" in query and "to" in query:
            query["to"] = at(hours=30)
        if chance.random() < 0.7:
            query |= {"lat": 28.2 + chance.uniform(-0.1, 0.1), "lon": 113.0 + chance.uniform(-0.1, 0.1)}
            query |= chance.choice(({}, {"within_m": 3_000}, {"within_m": 9_000}, {"minutes": 40}))
        order = chance.choice(("newest", "best-pay", *(("nearest",) * 3 if "lat" in query else ())))
        expected = in_order([each for each in market if fits(each, posting.clock.now, query)], order, query)
        found = await pages(posting, **query, order=order, limit=chance.choice((1, 5, 7, 100)))
        assert [item["gig_id"] for item in found] == expected, (order, query)
        many += len(expected) > 10
        if "lat" in query:
            true = [metres(by_id[item["gig_id"]], query["lat"], query["lon"]) for item in found]
            assert [item["distance_m"] for item in found] == pytest.approx(true, abs=1)
    assert many >= 2


async def test_many_at_one_place_one_pay_and_one_time_are_paged_without_loss(posting: Harness) -> None:
    crowd = [gig(place=place(28.21, 113.01)) for _ in range(23)]
    apart = [gig(place=place(28.2 + n / 100, 113.0)) for n in (1, 2, 3)]
    await keep(posting, *crowd, *apart)
    for order in ("nearest", "best-pay", "newest"):
        for limit in (1, 5, 22, 23, 24, 100):
            items = await pages(posting, **AROUND, order=order, limit=limit)
            assert [item["gig_id"] for item in items] == in_order([*crowd, *apart], order, AROUND)


async def test_what_is_far_away_is_found_too(posting: Harness) -> None:
    far = [gig(place=place(28.2, 113.0 + degrees)) for degrees in (0.001, 0.03, 0.4, 3, 18)]
    await keep(posting, *far)
    assert ids(await search(posting, **AROUND)) == [each.id for each in far]
    assert ids(await search(posting, **AROUND, within_m=40_000)) == [each.id for each in far[:3]]
    assert ids(await search(posting, **AROUND, within_m=100_000)) == [each.id for each in far[:3]]


# --- the market moves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["newest", "best-pay", "nearest"])
async def test_pages_hold_while_gigs_come_go_and_change(posting: Harness, order: str) -> None:
    """Nothing comes twice; what stood from the first page to the last comes once, where it was at the beginning."""
    chance = random.Random(order)

    def pay_and_place() -> Body:
        spot = chance.choice(((28.21, 113.0), (28.2 + chance.random() / 10, 113.0)))
        amount = 100 * chance.randint(23, 27)
        return {"place": place(*spot), "pay": {"amount_fen": amount, "unit": "hour", "mode": "same-day"}}

    await verified(posting)
    market = {each["gig_id"]: each for each in [await post_gig(posting, **pay_and_place()) for _ in range(18)]}
    await posting.later(seconds=30)
    query = AROUND | {"order": order, "limit": 4}
    began = in_order([gig_of(each) for each in market.values()], order, query)
    seen: list[str] = []
    gone: set[str] = set()
    after: dict[str, str] = {}
    while True:
        page = await search(posting, **query, **after)
        seen += ids(page)
        if page["next"] is None:
            break
        after = {"after": page["next"]}
        await posting.later(seconds=chance.choice((0, 1, 20, 600)))
        await post_gig(posting, **pay_and_place())
        for changed in chance.sample(began, 4):
            if changed not in gone:
                assert (await amend(posting, changed, **pay_and_place()))["http"] == 200
        closed = chance.choice(began)
        gone.add(closed)
        await posting.http.post(f"/gigs/{closed}/close", headers=posting.as_("employer", "e1"))
    assert len(seen) == len(set(seen))
    assert [each for each in seen if each in began and each not in gone] == [each for each in began if each not in gone]


def gig_of(view: Body) -> Gig:
    return Gig(id=view["gig_id"], district="", terms=GigTerms.model_validate(view), posted_at=view["posted_at"])


async def test_a_change_counts_in_lists_that_begin_later(posting: Harness) -> None:
    await verified(posting)
    one, two = [await post_gig(posting) for _ in range(2)]
    better = {"amount_fen": 9_000, "unit": "hour", "mode": "same-day"}
    await amend(posting, one["gig_id"], pay=better, place=place(28.2, 113.0))
    assert ids(await search(posting, order="best-pay")) == [two["gig_id"], one["gig_id"]]
    await posting.later(seconds=15)
    assert ids(await search(posting, order="best-pay")) == [one["gig_id"], two["gig_id"]]
    assert ids(await search(posting, **AROUND)) == [one["gig_id"], two["gig_id"]]
    assert ids(await search(posting, **AROUND, within_m=100)) == [one["gig_id"]]
    assert (await search(posting, **AROUND))["items"][0]["distance_m"] == 0


async def test_a_list_can_be_followed_for_a_day(posting: Harness) -> None:
    until = at(hours=40)
    shift = {"start": at(hours=39), "end": at(hours=41)}
    await keep(posting, *(gig(valid_until=until, period=shift) for _ in range(2)))
    after = (await search(posting, limit=1))["next"]
    posting.clock.advance(hours=24, seconds=-16)
    assert len(ids(await search(posting, limit=1, after=after))) == 1
    posting.clock.advance(seconds=1)
    answer = await posting.http.get("/gigs", params={"limit": 1, "after": after})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")
    assert "24 hours" in answer.json()["errors"][0]["detail"]


async def test_a_change_of_words_is_found(posting: Harness) -> None:
    await verified(posting)
    gig_id = (await post_gig(posting))["gig_id"]
    assert ids(await search(posting, q="会展")) == []
    assert (await amend(posting, gig_id, content="会展中心搭建，包午餐"))["http"] == 200
    assert ids(await search(posting, q="会展")) == [gig_id]
    assert ids(await search(posting, q="装车")) == []


# --- across districts ----------------------------------------------------------------------------------------------


@pytest.mark.feature("F11")
async def test_one_query_covers_all_districts_and_each_keeps_its_label(posting: Harness) -> None:
    """Posted in one district, by an employer of another: found from everywhere, and said where it is from."""
    await verified(posting)
    pay = {"amount_fen": 3_000, "unit": "hour", "mode": "same-day"}
    posted = [(await post_gig(posting, district=district, pay=pay))["gig_id"] for district in DISTRICTS]
    everywhere = (await search(posting))["items"]
    assert {item["gig_id"]: item["district"] for item in everywhere} == dict(zip(posted, DISTRICTS, strict=True))
    for number, district in enumerate(DISTRICTS):
        found = (await search(posting, district=district))["items"]
        assert [(item["gig_id"], item["district"]) for item in found] == [(posted[number], district)]
    assert ids(await search(posting, district="330110")) == []
    by_feed = gig(district="330110")
    by_feed.origin = "agency-1/42"
    await keep(posting, by_feed)
    assert [item["origin"] for item in (await search(posting, district="330110"))["items"]] == ["agency-1/42"]


async def test_search_is_public_and_the_same_in_every_language(posting: Harness) -> None:
    await keep(posting, gig())
    zh = await posting.http.get("/gigs", headers={"accept-language": "zh"})
    en = await posting.http.get("/gigs", headers={"accept-language": "en"})
    assert len(zh.json()["items"]) == 1
    assert zh.json()["items"] == en.json()["items"]
    assert zh.json()["items"][0]["distance_m"] is None


# --- what is asked -------------------------------------------------------------------------------------------------


POINT = {"lat": "28.2", "lon": "113"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"lat": "28.2"}, "lon"),
        ({"lon": "113"}, "lat"),
        ({"lat": "91", "lon": "113"}, "lat"),
        ({"lat": "28.2", "lon": "nan"}, "lon"),
        ({"lat": "x", "lon": "113"}, "lat"),
        ({"within_m": "3000"}, "within_m"),
        ({"minutes": "15"}, "minutes"),
        (POINT | {"within_m": "0"}, "within_m"),
        (POINT | {"within_m": "100001"}, "within_m"),
        (POINT | {"minutes": "121"}, "minutes"),
        (POINT | {"within_m": "3000", "minutes": "15"}, "minutes"),
        ({"order": "nearest"}, "order"),
        ({"order": "oldest"}, "order"),
        ({"after": "x"}, "after"),
        ({"after": "best-pay:1763848785000:-2200:x"}, "after"),
        ({"after": "newest:1763848785000:nan:x"}, "after"),
        ({"after": "newest:1763848785000:12.5:"}, "after"),
        ({"after": "newest:99999999999999999999:12.5:x"}, "after"),
        ({"after": "newest:9999999999999:12.5:x"}, "after"),
        ({"after": "newest:0:12.5:x"}, "after"),
        ({"district": "430"}, "district.0"),
        ({"district": "0"}, "district.0"),
        ({"occupation": "cook"}, "occupation"),
        ({"occupation": "4-0"}, "occupation"),
        ({"q": ""}, "q"),
        ({"q": "  "}, "q"),
        ({"q": "拣" * 61}, "q"),
        ({"min_fen_per_hour": "0"}, "min_fen_per_hour"),
        ({"min_fen_per_hour": "18.5"}, "min_fen_per_hour"),
        ({"from": "2026-11-23T08:00:00"}, "from"),
        ({"from": at(hours=2), "to": at(hours=2)}, "to"),
        ({"to": "tomorrow"}, "to"),
        ({"meals": "please"}, "meals"),
        ({"hiring": "maybe"}, "hiring"),
        ({"limit": "101"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"distrct": "430102"}, "distrct"),
    ],
)
async def test_a_wrong_question_is_named(posting: Harness, query: dict[str, str], field: str) -> None:
    for language in ("zh", "en"):
        answer = await posting.http.get("/gigs", params=query, headers={"accept-language": language})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert answer.json()["errors"][0]["detail"].isascii() == (language == "en")


# --- how it is asked -----------------------------------------------------------------------------------------------


@pytest.mark.feature("F33")
async def test_no_query_scans_the_collection(posting: Harness) -> None:
    """MongoDB's own record of how each query was planned: indexes only, whatever is asked and in whatever order."""
    await keep(posting, *a_market(7, 150))
    db = posting.runtime.store.db
    of_each_kind = {"".join(query): query for query in ALONE}.values()
    asked: list[Query] = [
        {},
        *of_each_kind,
        {"q": "拣"},
        {"q": "分拣", "occupation": "4-02", "meals": True, "district": ["4301"]},
    ]
    await db.command("profile", 2)
    try:
        for query in asked:
            for order in ({"order": "newest"}, {"order": "best-pay"}, AROUND, AROUND | {"minutes": 15}):
                await search(posting, **as_sent(query), **order)
        for district in DISTRICTS:
            answer = await posting.http.get("/guide-prices", params={"district": district, "occupation": "4-02"})
            assert answer.status_code == 200
        plans = await db["system.profile"].find({"ns": f"{db.name}.gigs"}).to_list()
    finally:
        await db.command("profile", 0)
        await db.drop_collection("system.profile")
    assert len(plans) > 4 * len(asked)
    assert {plan["planSummary"].split(" ")[0] for plan in plans} == {"IXSCAN"}


async def test_a_post_is_found_under_every_code_of_its_area(posting: Harness) -> None:
    """璧山县 became 璧山区; one post was written down before that."""
    await verified(posting)
    pay = {"amount_fen": 2_400, "unit": "hour", "mode": "same-day"}
    new = (await post_gig(posting, district="500227", pay=pay))["gig_id"]
    old = gig(district="500227")

    async def write(unit: Unit) -> None:
        unit.save(old)

    await posting.runtime.store.transact(write)
    assert (await posting.http.get(f"/gigs/{new}")).json()["district"] == BISHAN
    for code in ("500227", BISHAN, "5001"):
        found = ids(await search(posting, district=code))
        assert new in found
        assert (old.id in found) == (code != "5001")
