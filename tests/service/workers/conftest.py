"""Made-up people, registered and checked in, in one line."""

from datetime import date
from typing import Any

import httpx

from services.workers.domain import check_character
from shared.testing import Harness

DISTRICT = "430102"
STATION = "430102-mawangdui"
POSITION = {"lat": 28.20512, "lon": 113.04021}
BORN = date(1974, 3, 5)


def id_number(order: int = 1, born: date = BORN) -> str:
    """A number with a right check digit in an area that was never one; odd orders are men's."""
    body = f"439999{born:%Y%m%d}{order:03d}"
    return body + check_character(body)


NAME = "甲一百二十三"


def draft(**changes: Any) -> dict[str, Any]:
    return {
        "name": NAME,
        "id_number": id_number(),
        "district": DISTRICT,
        "skills": ["parcel-sorting"],
        "certificates": [{"code": "forklift", "valid_until": "2027-06-30"}, {"code": "health"}],
        "floor_fen_per_hour": 2000,
        "reach_m": 8000,
        "hardship": ["older-jobseeker"],
        "accepts_automatically": False,
        "consent": True,
    } | changes


async def register(workers: Harness, worker_id: str = "worker-1", /, **changes: Any) -> httpx.Response:
    return await workers.http.post("/registration", json=draft(**changes), headers=workers.as_("worker", worker_id))


async def check_in(workers: Harness, worker_id: str = "worker-1", /, **changes: Any) -> httpx.Response:
    body = {"districts": [DISTRICT], "station_id": STATION} | changes
    return await workers.http.post("/check-ins", json=body, headers=workers.as_("worker", worker_id))


def fields(answer: httpx.Response) -> list[str]:
    """The fields that a 422 names."""
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]


async def check_certificates(workers: Harness, worker_id: str = "worker-1") -> None:
    """A clerk finds all that the worker has declared to be as it is on the paper."""
    clerk = workers.as_("operator", "operator-1")
    declared = (await workers.http.get(f"/{worker_id}/certificates", headers=clerk)).json()["certificates"]
    for each in declared:
        seen = {"approved": True, "valid_until": each["valid_until"]}
        await workers.http.post(f"/{worker_id}/certificates/{each['code']}/check", json=seen, headers=clerk)
