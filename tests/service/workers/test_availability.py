"""A worker's calendar and filters: kept, shown, said to the markets at once."""

from typing import Any

import httpx
import pytest

from shared.contracts.workers import Calendar, DateSpans, Span, WeekdaySpan, WorkerChanged
from shared.testing import Harness
from tests.service.workers.conftest import fields, register

pytestmark = pytest.mark.feature("F34")


async def put(workers: Harness, body: dict[str, Any]) -> httpx.Response:
    return await workers.http.put("/me/availability", json=body, headers=workers.as_("worker", "worker-1"))


EVENINGS: dict[str, Any] = {
    "weekly": [
        {"weekday": 1, "begin": "18:00:00", "end": "02:00:00"},
        {"weekday": 6, "begin": "08:00:00", "end": "00:00:00"},
    ],
    "dates": [{"date": "2026-12-24", "hours": []}],
}


async def test_a_calendar_is_kept_shown_and_said(workers: Harness) -> None:
    await register(workers)
    headers = workers.as_("worker", "worker-1")
    assert (await workers.http.get("/me/availability", headers=headers)).json() == {"weekly": [], "dates": []}
    assert (await put(workers, EVENINGS)).json() == EVENINGS
    assert (await workers.http.get("/me/availability", headers=headers)).json() == EVENINGS
    (said,) = await workers.published(WorkerChanged)
    assert said.profile.calendar == Calendar(
        weekly=(WeekdaySpan(weekday=1, start=18 * 60, end=26 * 60), WeekdaySpan(weekday=6, start=480, end=1440)),
        dates=(DateSpans(date="2026-12-24"),),
    )
    await put(workers, EVENINGS)
    assert len(await workers.published(WorkerChanged)) == 1
    await put(workers, {})
    assert (await workers.published(WorkerChanged))[-1].profile.calendar == Calendar()


async def test_hours_of_a_date_replace_its_weekdays(workers: Harness) -> None:
    await register(workers)
    hours = [{"begin": "09:00:00", "end": "11:30:00"}]
    await put(workers, {"dates": [{"date": "2026-12-24", "hours": hours}]})
    (said,) = await workers.published(WorkerChanged)
    assert said.profile.calendar.dates == (DateSpans(date="2026-12-24", spans=(Span(start=540, end=690),)),)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"weekly": [{"weekday": 8, "begin": "08:00", "end": "12:00"}]}, "weekly.0.weekday"),
        ({"weekly": [{"weekday": 1, "begin": "25:00", "end": "12:00"}]}, "weekly.0.begin"),
        ({"dates": [{"date": "Christmas"}]}, "dates.0.date"),
        ({"dates": [{"date": "2026-12-24"}, {"date": "2026-12-24"}]}, "dates"),
        ({"always": True}, "always"),
    ],
)
async def test_what_is_wrong_is_named(workers: Harness, body: dict[str, Any], field: str) -> None:
    await register(workers)
    assert fields(await put(workers, body)) == [field]


async def test_filters_are_part_of_the_profile(workers: Harness) -> None:
    await register(workers)
    wanted = {
        "trades_wanted": ["4-02", "6"],
        "trades_unwanted": ["6-16"],
        "only_with_meals": True,
        "only_with_lodging": True,
        "no_night": True,
    }
    answer = await workers.http.patch("/me", json=wanted, headers=workers.as_("worker", "worker-1"))
    assert {name: answer.json()[name] for name in wanted} == wanted
    (said,) = await workers.published(WorkerChanged)
    assert said.profile.model_dump(mode="json", include=set(wanted)) == wanted
    wrong = await workers.http.patch("/me", json={"trades_wanted": ["4-2"]}, headers=workers.as_("worker", "worker-1"))
    assert fields(wrong) == ["trades_wanted.0"]


async def test_whoever_is_not_registered_has_no_calendar(workers: Harness) -> None:
    assert (await put(workers, EVENINGS)).status_code == 404
