"""The readable agreement over HTTP: for its parties and clerks, in their language, bound to the agreed text."""

import pytest

from shared.testing import Harness
from tests.service.rights.placements import EMPLOYER, WORKER, placement_cancelled, placement_made

pytestmark = pytest.mark.feature("F20")

PATH = "/agreements/placement-1/document"


async def test_it_is_read_as_a_page_and_as_a_pdf(rights: Harness) -> None:
    await rights.receives(placement_made())
    worker = rights.as_("worker", WORKER)
    agreement = (await rights.http.get("/agreements/placement-1", headers=worker)).json()
    page = await rights.http.get(PATH, params={"lang": "zh"}, headers=worker)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "用工协议" in page.text
    assert agreement["sha256"] in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    pdf = await rights.http.get(PATH, params={"format": "pdf"}, headers=worker)
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert {page.headers["cache-control"], pdf.headers["cache-control"]} == {"private, no-store"}


async def test_its_language_is_the_callers_unless_they_name_one(rights: Harness) -> None:
    await rights.receives(placement_made())
    titles = {}
    for accepted, asked in (("en", None), ("zh-CN", None), ("fr", None), ("en", "zh"), ("zh", "en")):
        headers = rights.as_("employer", EMPLOYER, accept_language=accepted)
        page = await rights.http.get(PATH, params={"lang": asked} if asked else {}, headers=headers)
        titles[accepted, asked] = "Work agreement" in page.text
    assert titles == {
        ("en", None): True,
        ("zh-CN", None): False,
        ("fr", None): False,
        ("en", "zh"): False,
        ("zh", "en"): True,
    }


async def test_only_the_parties_and_clerks_of_the_district_read_it(rights: Harness) -> None:
    await rights.receives(placement_made())
    for format in ("html", "pdf"):
        for allowed in (
            rights.as_("worker", WORKER),
            rights.as_("employer", EMPLOYER),
            rights.as_("clerk", districts=["4301"]),
        ):
            assert (await rights.http.get(PATH, params={"format": format}, headers=allowed)).status_code == 200
        for refused in (
            rights.as_("worker", "worker-2"),
            rights.as_("employer", "employer-2"),
            rights.as_("clerk", districts=["430103"]),
            rights.as_("agency", WORKER),
        ):
            assert (await rights.http.get(PATH, params={"format": format}, headers=refused)).status_code == 404
    assert (await rights.http.get(PATH)).status_code == 401


@pytest.mark.parametrize(("field", "value"), [("format", "docx"), ("lang", "fr"), ("lang", "<b>")])
async def test_a_form_that_there_is_not_is_refused_by_its_name(rights: Harness, field: str, value: str) -> None:
    await rights.receives(placement_made())
    answer = await rights.http.get(PATH, params={field: value}, headers=rights.as_("worker", WORKER))
    assert answer.status_code == 422
    assert field in answer.json()["errors"][0]["field"]


async def test_after_a_cancellation_it_says_void_over_the_same_text(rights: Harness) -> None:
    await rights.receives(placement_made())
    worker = rights.as_("worker", WORKER)
    before = (await rights.http.get(PATH, params={"lang": "en"}, headers=worker)).text
    await rights.receives(placement_cancelled())
    after = (await rights.http.get(PATH, params={"lang": "en"}, headers=worker)).text
    assert "Void since" not in before
    assert after.replace('<p class="void">Void since 2026-11-23 06:00</p>', "") == before
