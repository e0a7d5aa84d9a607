"""Stations around a point, against brute force."""

import math
import random
from typing import Any

import pytest

from services.workers.tables import STATIONS
from shared.testing import Harness


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance by the haversine formula, with the mean radius of the earth."""
    (lat1, lon1), (lat2, lon2) = ((math.radians(lat), math.radians(lon)) for lat, lon in (a, b))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6_371_007.18 * math.asin(math.sqrt(h))


async def stations(workers: Harness, **query: Any) -> list[dict[str, Any]]:
    answer = await workers.http.get("/stations", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.feature("F33")
async def test_the_nearest_station_comes_first_as_by_brute_force(workers: Harness) -> None:
    chance = random.Random(1)
    inside = 0
    for _ in range(60):
        at = (28.2 + chance.uniform(-0.3, 0.3), 113.0 + chance.uniform(-0.5, 0.5))
        within = chance.choice((None, 3_000, 8_000, 30_000))
        district = chance.choice((None, None, "430102", "430105"))
        true = sorted(
            (metres(at, (station.lat, station.lon)), station.id)
            for station in STATIONS.values()
            if district in (None, station.district)
        )
        asked = {"within_m": within, "district": district}
        found = await stations(
            workers, lat=at[0], lon=at[1], **{name: value for name, value in asked.items() if value is not None}
        )
        expected = [(m, id) for m, id in true if within is None or m <= within]
        assert [item["id"] for item in found] == [id for _, id in expected]
        assert [item["distance_m"] for item in found] == pytest.approx([m for m, _ in expected], abs=1)
        inside += 0 < len(expected) < len(true)
    assert inside > 5


async def test_without_a_point_all_are_listed_and_no_distance(workers: Harness) -> None:
    assert {item["id"]: item["distance_m"] for item in await stations(workers)} == dict.fromkeys(STATIONS)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"lat": "28.2"}, "lon"),
        ({"lon": "113"}, "lat"),
        ({"within_m": "3000"}, "lat"),
        ({"lat": "91", "lon": "113"}, "lat"),
        ({"lat": "28.2", "lon": "113", "within_m": "0"}, "within_m"),
        ({"near": "28.2,113"}, "near"),
    ],
)
async def test_a_wrong_question_is_named(workers: Harness, query: dict[str, str], field: str) -> None:
    for language in ("zh", "en"):
        answer = await workers.http.get("/stations", params=query, headers={"accept-language": language})
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
        assert answer.json()["errors"][0]["detail"].isascii() == (language == "en")
