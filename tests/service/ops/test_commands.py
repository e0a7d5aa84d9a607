"""`kuaizhao dead`, `fuse` and `lag` as an operator sees them: what they say, in which language, and how they end."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ops.__main__ import parser
from ops.screen import language, table, width
from shared.contracts.posting import GigFilled
from shared.fuse import LEAST
from shared.problems import Text
from shared.testing import Harness
from tests.ledger import Count, Mood, filled
from tests.service.ops.conftest import Kuaizhao

pytestmark = pytest.mark.feature("F13")

ROOT = Path(__file__).parents[3]
TOPIC = "posting.gig"


@pytest.fixture(autouse=True)
def _the_ledgers_database(ledger: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUAIZHAO_DATABASE", ledger.runtime.settings.database)


async def three_of_bad(ledger: Harness) -> list[str]:
    """A failed event of a subject, and two that wait behind it; their ids, in order."""
    Mood.fails = {"bad"}
    await ledger.receives(*(filled("bad", n) for n in (1, 2, 3)), filled("good"))
    Mood.reset()
    rows = sorted(await ledger.dead(), key=lambda row: row["offset"])
    return [row["_id"] for row in rows if row["headers"]["ce_subject"] == "bad"]


async def order(ledger: Harness) -> list[int]:
    found = await ledger.get(Count, "bad")
    return found.order if found else []


async def test_letters_are_listed_shown_and_redriven(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    ids = await three_of_bad(ledger)
    listed = (await kuaizhao("dead", "list", "tests.ledger")).out.splitlines()
    assert listed[0].split() == ["SERVICE", "ID", "KIND", "TYPE", "SUBJECT", "SINCE", "REASON"]
    assert [line.split()[:5] for line in listed[1:]] == [
        ["ledger", id, kind, GigFilled.type, "bad"]
        for id, kind in zip(ids, ("failed", "parked", "parked"), strict=True)
    ]
    shown = await kuaizhao("dead", "show", "tests.ledger", ids[0])
    assert "ce_subject: bad" in shown.out
    assert '"placed": 1' in shown.out
    assert "reason: RuntimeError at ledger.py:" in shown.out
    assert shown.out.splitlines()[-1] == f"with it goes, in this order: {', '.join(ids)}"
    redriven = await kuaizhao("dead", "redrive", "tests.ledger", ids[0], "--by", "ann")
    assert (redriven.code, redriven.out, redriven.err) == (0, "ledger: 3 handled\n", "")
    assert await order(ledger) == [1, 2, 3]
    assert (await kuaizhao("dead", "list", "tests.ledger")).out == "nothing is set aside\n"
    (note,) = await ledger.runtime.store.db["_audit"].find({}).to_list()
    assert (note["by"], note["letters"]) == ("ann", ids)


async def test_what_a_redriven_letter_says_is_left_to_the_services_own_sweeper(
    ledger: Harness, kuaizhao: Kuaizhao
) -> None:
    ids = await three_of_bad(ledger)
    await ledger.runtime.store.db["_outbox"].delete_many({})
    await kuaizhao("dead", "redrive", "tests.ledger", ids[0])
    assert [said.placed for said in await ledger.published()] == [1, 2, 3]


async def test_the_names_of_all_that_wait_may_be_given(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    ids = await three_of_bad(ledger)
    assert (await kuaizhao("dead", "redrive", "tests.ledger", *reversed(ids))).code == 0
    assert await order(ledger) == [1, 2, 3]


async def test_what_fails_again_ends_with_code_1(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    ids = await three_of_bad(ledger)
    Mood.fails = {"bad"}
    again = await kuaizhao("dead", "redrive", "tests.ledger", ids[0])
    assert again.code == 1
    assert again.out.splitlines()[0] == "ledger: 0 handled"
    assert f"{ids[0]} stays: RuntimeError at ledger.py:" in again.out


async def test_all_of_a_kind_are_redriven(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    Mood.refuses = {"r1", "r2"}
    await ledger.receives(filled("r1"), filled("r2"))
    ids = await three_of_bad(ledger)
    refused = await kuaizhao("dead", "redrive", "tests.ledger", "--all", "--kind", "refused")
    assert refused.out == "ledger: 2 handled\n"
    listed = json.loads((await kuaizhao("dead", "list", "tests.ledger", "--json")).out)
    assert [row["id"] for row in listed] == ids
    assert (await kuaizhao("dead", "redrive", "tests.ledger", "--all")).out == "ledger: 3 handled\n"


async def test_a_letter_is_dropped(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    ids = await three_of_bad(ledger)
    dropped = await kuaizhao("dead", "drop", "tests.ledger", ids[0])
    assert dropped.out.splitlines() == [f"ledger: {ids[0]} dropped", "ledger: 2 handled"]
    assert await order(ledger) == [2, 3]


async def test_a_letter_that_is_not_there_is_one_line(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    for act in ("show", "redrive", "drop"):
        gone = await kuaizhao("dead", act, "tests.ledger", "nothing")
        assert (gone.code, gone.out) == (1, "")
        assert gone.err == "kuaizhao: ledger has no letter nothing set aside\n"


async def test_what_a_letter_holds_cannot_steer_the_terminal(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    headers = {"ce_id": "evil", "ce_type": "a\x1b[2J", "ce_subject": "g\x9b31m"}
    await ledger.receives_letters(ledger.letter(TOPIC, b"\x1b]0;title\x07\xff", **headers), topic=TOPIC)
    for arguments in (("list", "tests.ledger"), ("show", "tests.ledger", "evil")):
        shown = (await kuaizhao("dead", *arguments)).out
        assert shown
        assert not {"\x1b", "\x9b", "\x07"} & set(shown)


async def test_chinese_by_lang(ledger: Harness, kuaizhao: Kuaizhao, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert (await kuaizhao("dead", "list", "tests.ledger")).out == "没有搁置的事件\n"


async def test_a_fuse_is_reset(ledger: Harness, kuaizhao: Kuaizhao) -> None:
    assert (await kuaizhao("fuse", "reset", "tests.ledger")).err == "kuaizhao: the fuse of ledger is not blown\n"
    ledger.runtime.bus.fuse.count(LEAST, 0)
    await ledger.runtime.bus.fuse.look()
    assert (await kuaizhao("fuse", "reset", "tests.ledger")).out == "ledger: consumption goes on within seconds\n"
    await ledger.runtime.bus.fuse.look()
    assert not ledger.runtime.bus.fuse.blown


async def test_servers_that_are_away_are_one_line(kuaizhao: Kuaizhao, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUAIZHAO_KAFKA", "127.0.0.1:1")
    away = await kuaizhao("lag", "tests.ledger")
    assert (away.code, away.err.count("\n")) == (1, 1)
    assert away.err.startswith("kuaizhao: Kafka at 127.0.0.1:1 does not answer")
    monkeypatch.setenv("KUAIZHAO_MONGO_URL", "mongodb://ann:hidden@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    away = await kuaizhao("dead", "list", "tests.ledger")
    assert (away.code, away.err.count("\n")) == (1, 1)
    assert away.err.startswith("kuaizhao: the database at 127.0.0.1:1")
    assert "hidden" not in away.err


@pytest.mark.parametrize(
    "wrong",
    [("dead",), ("dead", "list", "nobody"), ("dead", "drop", "posting"), ("fuse", "reset"), ("sing",), ()],
    ids=" ".join,
)
async def test_what_is_written_wrong_ends_with_code_2(kuaizhao: Kuaizhao, wrong: tuple[str, ...]) -> None:
    assert (await kuaizhao(*wrong)).code == 2


async def test_redrive_wants_names_or_all(kuaizhao: Kuaizhao) -> None:
    for arguments in ((), ("x", "--all")):
        asked = await kuaizhao("dead", "redrive", "tests.ledger", *arguments)
        assert (asked.code, asked.err) == (2, "kuaizhao: name letters, or --all\n")


def test_the_script_runs_from_anywhere(tmp_path: Path, mongo_url: str) -> None:
    variables = {**os.environ, "KUAIZHAO_MONGO_URL": mongo_url, "LANG": "C.UTF-8"}
    ended = subprocess.run(
        [ROOT / "kuaizhao", "dead", "list", "tests.ledger"], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "nothing is set aside\n", "")


def test_the_help_names_every_command() -> None:
    text = parser().format_help()
    assert all(subject in text for subject in ("dead", "fuse", "lag", "reconcile"))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_MESSAGES": "zh_TW", "LANG": "en_US"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh"}, "zh"),
    ],
)
def test_the_language_is_the_locales(environ: dict[str, str], expected: str) -> None:
    assert language(environ) == expected


def test_columns_stand_under_their_heads_also_in_chinese() -> None:
    lines = table((Text("WHAT", "情况"), Text("N", "数")), [("席位", 5), ("seat", 12)])
    assert lines == ["WHAT   N", "席位   5", "seat  12"]
    assert {width(line) for line in lines} == {8}
