"""What an hour must pay: by district and by when the work is done, to the fen."""

from typing import Any

import pytest

from clients.city.places import city
from services.posting.rules import MINIMUM_WAGES
from services.posting.screening import screening
from services.posting.store import RULES, Gig
from shared.contracts.terms import Pay
from shared.testing import Harness
from tests.service.posting.market import BISHAN, CHANGSHA_COUNTY, OPENS, at, draft, post, verified

pytestmark = pytest.mark.feature("F29", "F44")

FLOORS = [
    (CHANGSHA_COUNTY, 2_200),
    ("430321", 1_800),  # Hunan, of a class that nobody has entered
    (BISHAN, 2_300),
    ("500229", 2_200),  # a county of Chongqing
    ("330110", 2_400),
    ("330822", 2_000),
    ("440305", 1_950),  # a province that nobody has entered
]


async def refused(posting: Harness, language: str = "en", **changes: Any) -> dict[str, str]:
    headers = posting.as_("employer", "e1", accept_language=language)
    answer = await posting.http.post("/gigs", json=draft(**changes), headers=headers)
    assert answer.status_code == 422, answer.text
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


def pay(fen: int, unit: str = "hour") -> dict[str, Any]:
    return {"amount_fen": fen, "unit": unit, "mode": "same-day"}


@pytest.mark.parametrize(("district", "floor"), FLOORS)
async def test_an_hour_pays_its_districts_minimum(posting: Harness, district: str, floor: int) -> None:
    await verified(posting)
    said = (await refused(posting, district=district, pay=pay(floor - 1)))["pay"]
    assert f"“¥{(floor - 1) / 100:.2f}/h” pays below the local minimum (Labour Law art. 48)." in said
    assert f"In {district} an hour pays at least ¥{floor / 100:.2f}." in said
    await post(posting, district=district, pay=pay(floor))


async def test_a_days_pay_is_for_the_hours_of_its_shift(posting: Harness) -> None:
    await verified(posting)
    said = (await refused(posting, "zh", pay=pay(2_200 * 8 - 1, "day")))["pay"]
    assert "430121 每小时不低于 ¥22.00，本班次 8 小时不低于 ¥176.00。" in said
    await post(posting, pay=pay(2_200 * 8, "day"))
    shift = {"start": at(hours=2), "end": at(hours=10, minutes=30)}
    assert (
        "¥187.00 for this shift of 8.5 hours" in (await refused(posting, period=shift, pay=pay(18_699, "day")))["pay"]
    )
    await post(posting, period=shift, pay=pay(18_700, "day"))


async def test_of_piece_work_nobody_can_tell_what_an_hour_pays(posting: Harness) -> None:
    await verified(posting)
    await post(posting, pay=pay(20, "piece"))


@pytest.mark.parametrize(("floor", "kinds"), [(2_200, {"minimum"}), (2_100, set())])
def test_what_the_text_promises_is_seen_by_the_districts_minimum(floor: int, kinds: set[str]) -> None:
    paid = Pay.model_validate(pay(2_200))
    seen = screening().see("快递分拣员", "快递包裹分拣装车，21元一小时，包午餐", paid, 8, floor)
    assert {finding.kind for finding in seen.findings} == kinds


async def test_a_change_of_pay_keeps_to_it_and_what_an_operator_sets_counts_when_the_work_is_done(
    posting: Harness,
) -> None:
    await verified(posting)
    day = {"start": at(days=8, hours=2), "end": at(days=8, hours=10)}
    before = await post(posting)
    after = await post(posting, period=day, valid_until=at(days=8, hours=2))
    headers = posting.as_("employer", "e1")
    lower = await posting.http.patch(f"/gigs/{before['gig_id']}", json={"pay": pay(2_199)}, headers=headers)
    assert lower.status_code == 422

    raised = {"changes": {"hourly_floor_fen": 2_300}, "replaces": 0, "since": at(days=8), "reason": "2026 年调整"}
    answer = await posting.http.put("/rules/4301", json=raised, headers=posting.as_("operator"))
    assert answer.status_code == 200, answer.text
    await post(posting)
    assert "¥23.00" in (await refused(posting, period=day, valid_until=at(days=8)))["pay"]
    for gig in (before, after):  # what stood before the rise was lawful, and may be changed in all else
        changed = await posting.http.patch(f"/gigs/{gig['gig_id']}", json={"headcount": 4}, headers=headers)
        assert changed.status_code == 200, changed.text
    assert {gig.terms.headcount for gig in await posting.all(Gig)} == {3, 4}


def test_every_amount_names_its_source_and_the_province_of_each_place_is_entered() -> None:
    areas = [wage.area for wage in MINIMUM_WAGES]
    assert {area[:2] for area in areas} == {"33", "43", "50"}
    assert all(wage.since <= OPENS for wage in MINIMUM_WAGES)


def test_the_city_pays_the_minimum_of_each_district() -> None:
    for district in city().districts:
        floor = RULES.shipped(district.code, OPENS).hourly_floor_fen
        for occupation in city().occupations:
            assert city().band(district.code, occupation.code).low >= floor
