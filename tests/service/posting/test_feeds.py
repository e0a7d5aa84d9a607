"""Posts by the file and by an agency's feed: a report for each, and one gig for each origin id."""

import csv
import io
import json
from typing import Any

import pytest

from services.posting import feeds, turns
from services.posting.forms import OfferForm
from services.posting.rows import COLUMNS
from services.posting.store import RULES, Gig, Offered, Review, Waiting
from shared import timers
from shared.contracts.agencies import GigOffered
from shared.contracts.posting import FeedAnswered, GigAmended, GigClosed, GigPosted
from shared.http import BODY_BYTES
from shared.rules import COUNTRY
from shared.testing import Harness
from shared.unit import Unit
from tests.service.posting.market import (
    BISHAN,
    CHANGSHA_COUNTY,
    Body,
    amend,
    at,
    code,
    decide,
    draft,
    read,
    search,
    verified,
)

AGENCY = "agency-1"
FEE = "快递包裹分拣装车，交服装费300元"
DOUBTFUL = "快递包裹分拣装车，身份证放老板那里"


def line(origin_id: str = "A-1", **changes: Any) -> Body:
    return {"origin_id": origin_id} | draft(**changes)


async def send(
    posting: Harness, *rows: Body, by: str = "e1", role: Any = "employer", status: int = 200, language: str = "zh"
) -> Body:
    return await send_body(
        posting, b"\n".join(json.dumps(row).encode() for row in rows), feeds.JSON_LINES, by, role, status, language
    )


async def send_body(
    posting: Harness,
    body: bytes,
    kind: str,
    by: str = "e1",
    role: Any = "employer",
    status: int = 200,
    language: str = "zh",
) -> Body:
    headers = posting.as_(role, by, content_type=kind, accept_language=language)
    answer = await posting.http.post("/gigs/bulk", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    found: Body = answer.json()
    return found


def outcomes(report: Body) -> list[str]:
    return [row["outcome"] for row in report["rows"]]


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.feature("F12")
async def test_each_row_stands_for_itself_and_has_its_line_in_the_report(posting: Harness) -> None:
    await verified(posting)
    report = await send(
        posting, line("1"), line("2", headcount=0, title=" "), line("3", content=DOUBTFUL), line("4", content=FEE),
        {"origin_id": "5"}, draft(), line("7"),
    )  # fmt: skip
    assert outcomes(report) == ["posted", "refused", "review", "refused", "refused", "refused", "posted"]
    assert report["outcomes"] == {"posted": 2, "refused": 4, "review": 1}
    assert [row["row"] for row in report["rows"]] == [1, 2, 3, 4, 5, 6, 7]
    assert {gig.id for gig in await posting.all(Gig)} == {report["rows"][0]["gig_id"], report["rows"][6]["gig_id"]}
    assert [review.id for review in await posting.all(Review)] == [report["rows"][2]["review_id"]]

    wrong = report["rows"][1]["problem"]
    assert (wrong["code"], wrong["status"]) == ("invalid-fields", 422)
    assert {error["field"]: error["detail"] for error in wrong["errors"]} == {
        "headcount": "应不小于 1",
        "title": "至少 2 个字符",
    }
    single = await posting.http.post(
        "/gigs", json=draft(content=FEE), headers=posting.as_("employer", "e1", accept_language="zh")
    )
    assert report["rows"][3]["problem"] == {k: v for k, v in single.json().items() if k != "instance"}
    assert [error["field"] for error in report["rows"][5]["problem"]["errors"]] == ["origin_id"]


async def test_the_report_is_in_the_callers_language(posting: Harness) -> None:
    await verified(posting)
    report = await send(posting, line(headcount=0), language="en")
    assert report["rows"][0]["problem"]["errors"] == [{"field": "headcount", "detail": "must be at least 1"}]


@pytest.mark.feature("F12")
async def test_the_same_file_again_changes_nothing(posting: Harness) -> None:
    """Also when its first run was cut off in between: what was done stands, what was not is done now."""
    await verified(posting)
    rows = [line(f"A-{n}", headcount=n) for n in range(1, 6)]
    await send(posting, *rows[:3])
    assert outcomes(await send(posting, *rows)) == ["unchanged"] * 3 + ["posted"] * 2
    again = await send(posting, *rows, rows[0])
    assert outcomes(again) == ["unchanged"] * 6
    assert again["rows"][0]["gig_id"] == again["rows"][5]["gig_id"]
    assert len(await posting.all(Gig)) == len(await posting.published(GigPosted)) == 5


async def test_a_file_cut_off_between_its_units_is_sent_again_whole(
    posting: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verified(posting)
    monkeypatch.setattr(feeds, "ROWS_TOGETHER", 2)
    rows = [line(f"A-{n}") for n in range(5)]
    done: list[Any] = []
    transact = posting.runtime.store.transact

    async def dies_in_the_second(work: Any) -> Any:
        if done:
            raise ConnectionError
        done.append(await transact(work))
        return done[0]

    with monkeypatch.context() as cut:
        cut.setattr(posting.runtime.store, "transact", dies_in_the_second)
        await send(posting, *rows, status=500)
    assert len(await posting.all(Gig)) == 2
    assert outcomes(await send(posting, *rows)) == ["unchanged"] * 2 + ["posted"] * 3
    assert len(await posting.all(Gig)) == 5


@pytest.mark.feature("F11")
async def test_a_changed_row_amends_its_gig_and_the_origin_stays(posting: Harness) -> None:
    await verified(posting)
    gig_id = (await send(posting, line()))["rows"][0]["gig_id"]
    report = await send(posting, line(headcount=5))
    assert (outcomes(report), report["rows"][0]["gig_id"]) == (["amended"], gig_id)
    assert (await amend(posting, gig_id, title="快递分拣员（夜）"))["origin"] == "e1/A-1"
    gig = await read(posting, gig_id)
    assert (gig["headcount"], gig["revision"], gig["origin"]) == (5, 3, "e1/A-1")
    assert [item["origin"] for item in (await search(posting))["items"]] == ["e1/A-1"]
    said = [*await posting.published(GigPosted), *await posting.published(GigAmended)]
    assert [event.origin for event in said] == ["e1/A-1"] * 3

    held = await send(posting, line(content=DOUBTFUL))
    assert outcomes(held) == ["review"]
    assert (await read(posting, gig_id))["content"] == gig["content"]


async def test_a_withdrawn_row_closes_its_gig_once(posting: Harness) -> None:
    await verified(posting)
    gig_id = (await send(posting, line()))["rows"][0]["gig_id"]
    for outcome in ("closed", "unchanged"):
        assert outcomes(await send(posting, {"origin_id": "A-1", "withdrawn": True})) == [outcome]
    assert [(event.gig_id, event.reason) for event in await posting.published(GigClosed)] == [(gig_id, "employer")]
    assert outcomes(await send(posting, {"origin_id": "never-sent", "withdrawn": True})) == ["unchanged"]
    (again,) = (await send(posting, line()))["rows"]
    assert (again["outcome"], again["problem"]["code"]) == ("refused", "gig-closed")


async def test_what_waits_for_a_clerk_is_replaced_by_what_is_sent_next_and_keeps_its_origin(posting: Harness) -> None:
    await verified(posting)
    first = (await send(posting, line(content=DOUBTFUL)))["rows"][0]
    assert outcomes(await send(posting, line(content=DOUBTFUL))) == ["unchanged"]
    second = (await send(posting, line(content=DOUBTFUL, headcount=9)))["rows"][0]
    reviews = {review.id: review for review in await posting.all(Review)}
    assert (reviews[first["review_id"]].status, reviews[second["review_id"]].status) == ("withdrawn", "waiting")
    answer = await posting.http.post(
        f"/reviews/{second['review_id']}/decision",
        json={"approved": True},
        headers=posting.as_("clerk", "c1", districts=("43",)),
    )
    assert answer.status_code == 200, answer.text
    assert [event.origin for event in await posting.published(GigPosted)] == ["e1/A-1"]
    assert outcomes(await send(posting, line(content=DOUBTFUL, headcount=8))) == ["amended"]
    assert outcomes(await send(posting, {"origin_id": "A-1", "withdrawn": True})) == ["closed"]
    assert [gig.closed_reason for gig in await posting.all(Gig)] == ["employer"]


async def test_a_row_that_cannot_amend_its_gig_leaves_it(posting: Harness) -> None:
    await verified(posting)
    await send(posting, line())
    wages = {"amount_fen": 2_300, "unit": "hour", "mode": "same-day"}
    (moved,) = (await send(posting, line(district=BISHAN, pay=wages)))["rows"]
    assert [error["field"] for error in moved["problem"]["errors"]] == ["district"]
    assert [gig.district for gig in await posting.all(Gig)] == [CHANGSHA_COUNTY]


def spreadsheet(*rows: Body) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, [column.zh for column in COLUMNS])
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


SHEET = {
    "来源编号": "S-1", "区县代码": CHANGSHA_COUNTY, "岗位名称": "快递分拣员", "职业代码": "4-02-07-02",
    "工作内容": "快递包裹分拣装车，\n包午餐", "工作地址": "星沙街道开元路 1 号", "纬度": "28.2453", "经度": "113.0803",
    "开始时间": "2026/11/23 8:00", "结束时间": "2026/11/23 16:00", "招聘人数": "3", "报酬（元）": "22.5",
    "计薪单位": "小时", "结算方式": "日结", "包餐": "是", "有效期至": "2026/11/23 8:00",
}  # fmt: skip


@pytest.mark.feature("F3")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
async def test_a_spreadsheet_posts_gigs(posting: Harness, encoding: str) -> None:
    await verified(posting)
    rows = SHEET, SHEET | {"来源编号": "S-2", "招聘人数": "三", "报酬（元）": "22.555"}
    report = await send_body(posting, spreadsheet(*rows).encode(encoding), "text/csv; charset=whatever")
    assert outcomes(report) == ["posted", "refused"]
    assert {error["field"] for error in report["rows"][1]["problem"]["errors"]} == {"headcount", "pay.amount_fen"}
    (event,) = await posting.published(GigPosted)
    assert event.terms.pay.amount_fen == 2_250
    assert event.terms.content == "快递包裹分拣装车，\n包午餐"
    assert event.terms.period.start.isoformat() == "2026-11-23T00:00:00+00:00"
    assert (event.terms.meals, event.terms.skills, event.terms.certificates) == (True, (), ())


@pytest.mark.feature("F3")
async def test_each_mandatory_column_left_empty_is_named(posting: Harness) -> None:
    await verified(posting)
    needed = {name for name, field in OfferForm.model_fields.items() if field.is_required()}
    columns = [each for each in COLUMNS if each.field.split(".")[0] in needed and not each.may_be_empty]
    assert len(columns) == 15
    report = await send_body(posting, spreadsheet(*(SHEET | {each.zh: ""} for each in columns)).encode(), "text/csv")
    named = [[error["field"] for error in row["problem"]["errors"]] for row in report["rows"]]
    assert named == [[column.field] for column in columns]


async def test_the_template_has_every_heading_in_both_languages(posting: Harness) -> None:
    answer = await posting.http.get("/gigs/bulk/template", params={"format": "csv"})
    assert answer.content.startswith(b"\xef\xbb\xbf")
    headings = answer.content.decode("utf-8-sig").strip().split(",")
    assert headings == [f"{column.zh} {column.en}" for column in COLUMNS]
    await verified(posting)
    cells = ",".join(SHEET.get(column.zh, "").replace("\n", "") for column in COLUMNS)
    assert outcomes(await send_body(posting, answer.content + cells.encode(), "text/csv")) == ["posted"]


async def test_a_file_that_is_too_large_is_refused_whole_with_the_figure(posting: Harness) -> None:
    await verified(posting)
    most = RULES.shipped(COUNTRY).max_file_rows
    refused = await send(posting, *({"origin_id": f"{n}", "withdrawn": True} for n in range(most + 1)), status=413)
    assert (refused["code"], refused["facts"]) == ("too-many-rows", {"most": most, "rows": most + 1})
    refused = await send_body(posting, b" " * (BODY_BYTES + 1), feeds.JSON_LINES, status=413)
    assert refused["facts"] == {"most": BODY_BYTES}
    assert (await send_body(posting, b"{}", "application/json", status=415))["code"] == "other-type"
    assert (await send_body(posting, "标题\n1".encode(), "text/csv", status=422))["code"] == "unknown-columns"
    assert await posting.all(Offered) == []


@pytest.mark.parametrize("role", ["worker", "clerk", "operator"])
async def test_only_employers_and_agencies_send_files(posting: Harness, role: Any) -> None:
    await send(posting, line(), by="x", role=role, status=403)


async def test_an_unverified_employers_rows_are_refused_each(posting: Harness) -> None:
    (row,) = (await send(posting, line()))["rows"]
    assert row["problem"]["code"] == "employer-not-verified"
    await verified(posting)
    (row,) = (await send(posting, line(credit_code=code(7))))["rows"]
    assert [error["field"] for error in row["problem"]["errors"]] == ["credit_code"]


# --- agencies -------------------------------------------------------------------------------------------------------


async def enter(posting: Harness, agency: str = AGENCY, *, districts: tuple[str, ...] = ("4301",)) -> None:
    answer = await posting.http.put(
        f"/agencies/{agency}",
        json={"name": "星城人力资源", "districts": list(districts)},
        headers=posting.as_("operator"),
    )
    assert answer.status_code == 200, answer.text


async def let(posting: Harness, employer: str = "e1", agency: str = AGENCY, *, verb: str = "PUT") -> int:
    headers = posting.as_("employer", employer)
    return (await posting.http.request(verb, f"/employers/me/agencies/{agency}", headers=headers)).status_code


async def test_an_agency_posts_for_employers_who_let_it_in_its_districts(posting: Harness) -> None:
    await verified(posting, "e1", credit_code=code(1))
    await verified(posting, "e2", credit_code=code(2))

    async def by_agency(*rows: Body) -> list[tuple[str, str | None]]:
        report = await send(posting, *rows, by=AGENCY, role="agency")
        return [(row["outcome"], row["problem"] and row["problem"]["code"]) for row in report["rows"]]

    refused = await send(posting, line(), by=AGENCY, role="agency", status=403)
    assert refused["code"] == "agency-not-registered"
    await enter(posting)
    assert await by_agency(line(credit_code=code(1)), line()) == [("refused", "not-let"), ("refused", "invalid-field")]
    assert await let(posting, "e1") == 200
    rows = (
        line("1", credit_code=code(1)),
        line("2", credit_code=code(2)),
        line("3", credit_code=code(1), district=BISHAN),
    )
    assert await by_agency(*rows) == [("posted", None), ("refused", "not-let"), ("refused", "invalid-field")]
    (gig,) = await posting.all(Gig)
    assert (gig.terms.employer_id, gig.origin) == ("e1", f"{AGENCY}/1")
    assert await by_agency(line("1", credit_code=code(1))) == [("unchanged", None)]

    assert await let(posting, "e1", verb="DELETE") == 200
    assert await by_agency(line("4", credit_code=code(1))) == [("refused", "not-let")]
    assert (await read(posting, gig.id))["status"] == "open"
    await posting.http.delete(f"/agencies/{AGENCY}", headers=posting.as_("operator"))
    await send(posting, line(), by=AGENCY, role="agency", status=403)


async def test_an_origin_id_is_one_posts_within_its_feed_alone(posting: Harness) -> None:
    await verified(posting, "e1", credit_code=code(1))
    await enter(posting)
    await let(posting)
    assert outcomes(await send(posting, line("1"))) == ["posted"]
    report = await send(posting, line("1", credit_code=code(1)), by=AGENCY, role="agency")
    assert outcomes(report) == ["posted"]
    assert sorted(str(gig.origin) for gig in await posting.all(Gig)) == [f"{AGENCY}/1", "e1/1"]


async def test_operators_enter_agencies_and_employers_let_those_alone(posting: Harness) -> None:
    await verified(posting)
    assert await let(posting, agency="nobody") == 404
    assert await let(posting, employer="e9") == 403
    for role in ("employer", "clerk", "agency", "worker"):
        answer = await posting.http.put(
            f"/agencies/{AGENCY}", json={"name": "星城", "districts": ["43"]}, headers=posting.as_(role, AGENCY)
        )
        assert answer.status_code == 403
    await enter(posting)
    listed = await posting.http.get("/agencies", headers=posting.as_("employer", "e1"))
    assert listed.json() == [{"agency_id": AGENCY, "name": "星城人力资源", "districts": ["4301"]}]


# --- the feed -------------------------------------------------------------------------------------------------------


def offered(origin_id: str = "A-1", agency: str = AGENCY, **changes: Any) -> GigOffered:
    post = {"credit_code": code(1)} | draft(**changes)
    return GigOffered(agency_id=agency, origin_id=origin_id, post=post)


async def hear(posting: Harness, *events: GigOffered, id: str | None = None) -> None:
    """Events come, and all agencies have had their turns."""
    await posting.receives(*events, id=id)
    await posting.later()


async def ready(posting: Harness) -> None:
    await verified(posting, "e1", credit_code=code(1))
    await enter(posting)
    await let(posting)


@pytest.mark.feature("F12")
async def test_a_post_sent_twice_under_one_origin_id_is_one_post_by_event_and_by_file(posting: Harness) -> None:
    await ready(posting)
    await hear(posting, offered(), id="m1")
    await hear(posting, offered(), id="m1")
    assert [answer.outcome for answer in await posting.published(FeedAnswered)] == ["posted"]
    await hear(posting, offered(), id="m2")
    report = await send(posting, line(credit_code=code(1)), by=AGENCY, role="agency")
    assert outcomes(report) == ["unchanged"]
    (gig,) = await posting.all(Gig)
    answers = await posting.published(FeedAnswered)
    assert [(answer.outcome, answer.gig_id) for answer in answers] == [("posted", gig.id), ("unchanged", gig.id)]
    assert {(answer.offered_id, answer.key) for answer in answers} == {(f"{AGENCY}/A-1", AGENCY)}
    assert [event.origin for event in await posting.published(GigPosted)] == [f"{AGENCY}/A-1"]

    await hear(posting, offered(headcount=4), GigOffered(agency_id=AGENCY, origin_id="A-1", post={"withdrawn": True}))
    assert [answer.outcome for answer in await posting.published(FeedAnswered)][2:] == ["amended", "closed"]
    assert len(await posting.published(GigClosed)) == 1


@pytest.mark.feature("F12")
async def test_what_is_wrong_with_an_offer_is_answered_and_no_dead_letter(posting: Harness) -> None:
    await ready(posting)
    await hear(
        posting,
        offered("1", headcount="three", 电话=1),
        offered("2", content="快递包裹分拣装车，交服装费300元，电话19900001234"),
        offered("3", agency="somebody"),
        GigOffered(agency_id=AGENCY, origin_id="?", post={}),
        offered("5", content=DOUBTFUL),
        offered("6"),
    )
    assert await posting.dead() == []
    answers = {answer.origin_id: answer for answer in await posting.published(FeedAnswered)}
    first, second, third, fourth, fifth, sixth = (answers[id] for id in ("1", "2", "3", "?", "5", "6"))
    assert (first.outcome, first.code) == ("refused", "invalid-fields")
    assert {fault.field for fault in first.faults} == {"headcount", "post"}
    assert (second.outcome, "300" in second.model_dump_json(), "1990" in second.model_dump_json()) == (
        "refused", False, False,
    )  # fmt: skip
    assert second.faults[0].zh.startswith("向劳动者收费（")
    assert third.code == "agency-not-registered"
    assert (third.faults[0].field, third.faults[0].en[:11]) == ("post", "This agency")
    assert fourth.outcome == "refused"
    assert (fifth.outcome, bool(fifth.review_id)) == ("review", True)
    assert sixth.outcome == "posted"
    assert len(await posting.all(Gig)) == 1


async def test_a_feed_ends_with_what_lets_it(posting: Harness) -> None:
    await ready(posting)
    await hear(posting, offered("1"))
    await decide(posting, approved=False, reason="营业执照已吊销")
    await hear(posting, offered("2", valid_until=at(hours=1)))
    await let(posting, verb="DELETE")
    await hear(posting, offered("3"))
    assert [answer.code for answer in await posting.published(FeedAnswered)] == [
        None,
        "employer-not-verified",
        "not-let",
    ]


@pytest.mark.feature("F12")
@pytest.mark.parametrize(
    "posts_of_a_turn", [turns.POSTS_OF_A_TURN, 10_000], ids=["in turns", "first come, first served"]
)
async def test_who_offers_one_gig_does_not_wait_behind_a_flood(
    posting: Harness, monkeypatch: pytest.MonkeyPatch, posts_of_a_turn: int
) -> None:
    """Counted in answers before its own: two turns of the other at most. Without turns it is the whole flood."""
    monkeypatch.setattr(turns, "POSTS_OF_A_TURN", posts_of_a_turn)
    monkeypatch.setattr(timers, "TOGETHER", 1)  # one turn after another, as when the service has no time to spare
    await ready(posting)
    await enter(posting, "agency-2")
    await let(posting, agency="agency-2")
    flood = 100
    await posting.receives(*(offered(f"A-{n}") for n in range(flood)))
    posting.clock.advance(seconds=1)
    await posting.receives(offered("B-1", agency="agency-2"))
    await posting.later()
    answers = [answer.agency_id for answer in await posting.published(FeedAnswered)]
    assert (answers.count(AGENCY), answers.count("agency-2")) == (flood, 1)
    ahead = answers.index("agency-2")
    assert ahead <= 2 * posts_of_a_turn if posts_of_a_turn < flood else ahead == flood
    sent = [answer.origin_id for answer in await posting.published(FeedAnswered) if answer.agency_id == AGENCY]
    assert sent == [f"A-{n}" for n in range(flood)]
    assert await posting.all(Waiting) == []


async def test_a_line_that_is_full_is_said_and_no_other_agencys(posting: Harness) -> None:
    await ready(posting)
    await enter(posting, "agency-2")
    await let(posting, agency="agency-2")
    most = {"changes": {"max_offers_waiting": 2}, "replaces": 0, "reason": "test"}
    set_ = await posting.http.put("/rules/country", json=most, headers=posting.as_("operator"))
    assert set_.status_code == 200, set_.text
    await posting.receives(*(offered(str(n)) for n in range(4)), offered("B-1", agency="agency-2"))
    refused = await posting.published(FeedAnswered)
    assert [(answer.origin_id, answer.code) for answer in refused] == [("2", "feed-full"), ("3", "feed-full")]
    assert refused[0].faults[0].en.startswith("2 posts of this agency wait already.")
    await posting.later()
    await hear(posting, offered("2"))
    answers = (await posting.published(FeedAnswered))[2:]
    assert {(answer.origin_id, answer.outcome) for answer in answers} == {
        ("0", "posted"), ("1", "posted"), ("B-1", "posted"), ("2", "posted"),
    }  # fmt: skip


async def test_who_lines_up_while_the_last_is_served_is_served_too(posting: Harness) -> None:
    """Both change the line, so that one of them runs again: a turn is never forgotten."""
    await ready(posting)
    await posting.receives(offered("1"))
    store = posting.runtime.store
    between: list[str] = []

    async def turn(unit: Unit) -> None:
        await turns.take_turn(unit, AGENCY)
        if not between:
            between.append("once")
            await posting.receives(offered("2"))

    await store.transact(turn)
    await posting.later()
    assert [answer.origin_id for answer in await posting.published(FeedAnswered)] == ["1", "2"]
