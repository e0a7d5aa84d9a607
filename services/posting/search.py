"""Search for gigs, and what gigs pay here: public."""

import math
from collections import Counter
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.posting import store
from services.posting.api import GigPage, GigView
from services.posting.domain import areas_of, nearest_rank
from services.posting.listing import EPOCH, TICK, Around, Filters, Mark, Order, beginning_at, page
from services.posting.store import RANKS_KEPT
from services.posting.tables import SEARCH
from shared.contracts.terms import District
from shared.districts import GivenDistrict
from shared.http import InUnit, UnitRoute
from shared.problems import Invalid, Text
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

ALONE = Text("needs `{other}` too", "需与 {other} 一起使用")
NO_POINT = Text("needs a point: `lat` and `lon`", "需同时给出 lat 与 lon")
ONE_CIRCLE = Text("give either `within_m` or `minutes`", "within_m 与 minutes 只能给出一个")
BACKWARD = Text("must be after `from`", "应晚于 from")
NO_CURSOR = Text("must be the `next` of the page before, in the same order", "应为上一页返回的 next，且排序方式相同")
OLD_CURSOR = Text(
    "is of a list begun more than {hours} hours ago; begin again without it", "该列表已超过 {hours} 小时，请重新查询"
)


MOST_RANK = 1e13
"""No rank of a gig is greater: milliseconds until the year 2286."""


class GigSearch(Filters):
    """Filters, a circle around a point, an order, a page.

    `lat`, `lon`: WGS 84 degrees. The circle has `within_m` metres, or is as wide as `minutes` of the region's circle of
    services: 15 minutes are 3 km. `order`: `nearest` (the default where there is a point), `newest` (otherwise) or
    `best-pay` by the hour. `after`: the `next` of the page before.
    """

    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    within_m: Annotated[int, Field(ge=1, le=100_000)] | None = None
    minutes: Annotated[int, Field(ge=1, le=120)] | None = None
    order: Order | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: str | None = None


@routes.get("/gigs")
async def search_gigs(search: Annotated[GigSearch, Query()], unit: InUnit) -> GigPage:
    """Open, valid gigs of all districts or some. Public.

    Pages keep to the order of the first one: a gig that comes, goes or is changed meanwhile makes none come twice, and
    none that stands is left out.
    """
    if search.from_ and search.to and search.to <= search.from_:
        raise Invalid("to", BACKWARD)
    around = _around(search)
    order = search.order or ("nearest" if around else "newest")
    if order == "nearest" and around is None:
        raise Invalid("order", NO_POINT)
    after = _mark(search.after, order, unit) if search.after else beginning_at(unit.now)
    found = await page(unit, search, order, around, after, search.limit)
    items = []
    for gig in found.gigs:
        distance = around.metres(gig.terms.place.lat, gig.terms.place.lon) if around else None
        items.append(GigView.of(gig, unit.now, distance))
    return GigPage(items=items, next=_cursor(order, found.next) if found.next else None)


def _around(search: GigSearch) -> Around | None:
    if search.lat is None or search.lon is None:
        for name, other in (("lat", "lon"), ("lon", "lat")):
            if getattr(search, name) is not None:
                raise Invalid(other, ALONE, other=name)
        for name in ("within_m", "minutes"):
            if getattr(search, name) is not None:
                raise Invalid(name, NO_POINT)
        return None
    if search.within_m and search.minutes:
        raise Invalid("minutes", ONE_CIRCLE)
    within_m = search.minutes * SEARCH.circle_m_per_minute if search.minutes else search.within_m
    return Around(search.lat, search.lon, within_m or math.inf)


def _cursor(order: Order, mark: Mark) -> str:
    return f"{order}:{(mark.as_of - EPOCH) // TICK}:{mark.rank!r}:{mark.gig_id}"


def _mark(cursor: str, order: Order, unit: Unit) -> Mark:
    try:
        of, as_of, rank, gig_id = cursor.split(":", 3)
        mark = Mark(EPOCH + int(as_of) * TICK, float(rank), gig_id)
    except (ValueError, OverflowError):
        raise Invalid("after", NO_CURSOR) from None
    if of != order or not gig_id or mark.as_of > unit.now or not abs(mark.rank) <= MOST_RANK:
        raise Invalid("after", NO_CURSOR)
    if mark.as_of <= unit.now - RANKS_KEPT:
        raise Invalid("after", OLD_CURSOR, hours=RANKS_KEPT // timedelta(hours=1))
    return mark


# --- guide prices --------------------------------------------------------------------------------------------------


class GuidePrices(BaseModel):
    """What posts of a trade paid by the hour, in fen: quartiles by nearest rank over `posts` of the last `days`.

    They are those of `area`: the district, or where that has fewer than `least_posts` its prefecture (4301) or
    province (43). Where that has too few as well, there are none. Piece work is not counted.
    """

    district: District
    occupation: str
    area: str | None
    days: int
    least_posts: int
    posts: int
    p25_fen: int | None
    p50_fen: int | None
    p75_fen: int | None


class GuideQuestion(BaseModel):
    model_config = ConfigDict(extra="forbid")

    district: GivenDistrict
    occupation: Annotated[str, Field(pattern=r"^[0-9](-[0-9]{2}){0,3}$", examples=["4-02"])]


@routes.get("/guide-prices")
async def guide_prices(asked: Annotated[GuideQuestion, Query()], unit: InUnit) -> GuidePrices:
    """What work of a trade pays in a district, or around it where too few posts say so. Public."""
    since = unit.now - timedelta(days=SEARCH.guide_days)
    area, paid = None, Counter[int]()
    for wider in areas_of(asked.district):
        posts = await store.paid_by_the_hour(unit, wider, asked.occupation, since)
        if posts.total() >= SEARCH.guide_least_posts:
            area, paid = wider, posts
            break
    return GuidePrices(
        district=asked.district,
        occupation=asked.occupation,
        area=area,
        days=SEARCH.guide_days,
        least_posts=SEARCH.guide_least_posts,
        posts=paid.total(),
        p25_fen=nearest_rank(paid, 0.25),
        p50_fen=nearest_rank(paid, 0.5),
        p75_fen=nearest_rank(paid, 0.75),
    )
