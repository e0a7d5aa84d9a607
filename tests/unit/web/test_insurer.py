"""The insurer that a local market has: each shift once in its books, whatever comes twice."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients.web.app import make_app
from clients.web.events import Feed
from clients.web.insurer import Books, Enrolment
from shared.settings import Settings

pytestmark = pytest.mark.feature("F21")

COVERS = {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T08:00:00Z"}


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(Settings(), feed=Feed(), docs=tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web/insurer") as client:
        yield client


def enrolment(n: int = 1, **changes: Any) -> dict[str, Any]:
    people = {"worker_id": f"worker-{n}", "employer_id": "employer-1"}
    return {
        "reference": f"scheme:{n}",
        **people,
        "district": "430102",
        "occupation": "6-02-06-12",
        "covers": COVERS,
        **changes,
    }


def key(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


async def test_an_enrolment_asked_for_twice_is_one_policy(web: httpx.AsyncClient) -> None:
    first, second = [await web.post("/enrolments", json=enrolment(), headers=key("k")) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert (first.json()["reference"], first.json()["keys"]) == ("scheme:1", ["k"])
    assert (await web.get("/policies")).json() == [first.json()]


async def test_two_keys_for_one_enrolment_are_seen(web: httpx.AsyncClient) -> None:
    for name in ("k", "another"):
        await web.post("/enrolments", json=enrolment(), headers=key(name))
    [policy] = (await web.get("/policies")).json()
    assert policy["keys"] == ["k", "another"]


async def test_a_key_is_for_one_enrolment(web: httpx.AsyncClient) -> None:
    await web.post("/enrolments", json=enrolment(1), headers=key("k"))
    answer = await web.post("/enrolments", json=enrolment(2), headers=key("k"))
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-key-reused")
    assert len((await web.get("/policies")).json()) == 1


async def test_a_policy_is_withdrawn_once(web: httpx.AsyncClient) -> None:
    policy = (await web.post("/enrolments", json=enrolment(), headers=key("k"))).json()
    for at in ("2026-11-22T23:00:00Z", "2026-11-22T23:30:00Z"):
        gone = {"reference": "scheme:1", "policy_id": policy["policy_id"], "at": at}
        assert (await web.post("/withdrawals", json=gone, headers=key("w"))).status_code == 200
    [kept] = (await web.get("/policies", params={"reference": "scheme:1"})).json()
    assert kept == policy | {"withdrawn_at": "2026-11-22T23:00:00Z"}
    assert (await web.get("/policies", params={"reference": "scheme:2"})).json() == []


async def test_a_policy_of_an_earlier_process_can_be_withdrawn(web: httpx.AsyncClient) -> None:
    gone = {"reference": "scheme:1", "policy_id": "earlier", "at": "2026-11-22T23:00:00Z"}
    answer = await web.post("/withdrawals", json=gone, headers=key("w"))
    assert (answer.status_code, answer.json()["policy_id"]) == (200, "earlier")


@pytest.mark.parametrize(
    "wrong", [{"reference": ""}, {"covers": {"start": COVERS["end"], "end": COVERS["start"]}}, {"worker_id": None}]
)
async def test_what_is_no_enrolment_is_refused(web: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    assert (await web.post("/enrolments", json=enrolment(**wrong), headers=key("k"))).status_code == 422
    assert (await web.post("/enrolments", json=enrolment())).status_code == 422
    assert (await web.get("/policies")).json() == []


def test_the_books_are_bounded() -> None:
    books = Books(most=3)
    for n in range(5):
        books.enrol(Enrolment.model_validate(enrolment(n)), f"k{n}")
    assert [policy.reference for policy in books.policies()] == ["scheme:2", "scheme:3", "scheme:4"]
