"""`kuaizhao record verify` on records that rights gave out: with the published keys alone, and no market at hand."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared.testing import Harness
from tests.service.ops.conftest import Kuaizhao
from tests.service.rights.placements import WORKER, placement_made
from tests.service.rights.test_pay import work

pytestmark = pytest.mark.feature("F47")


class Given(NamedTuple):
    record: Path
    keys: Path


@pytest.fixture
async def given(rights: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    await rights.receives(placement_made())
    await work(rights)
    days = {"first_day": "2026-11-23", "last_day": "2026-11-23"}
    answer = await rights.http.post("/records", json=days, headers=rights.as_("worker", WORKER))
    record, keys = tmp_path / "record.jwt", tmp_path / "jwks.json"
    record.write_text(answer.json()["record"] + "\n", "utf-8")
    keys.write_bytes((await rights.http.get("/.well-known/jwks.json")).content)
    monkeypatch.setenv("KUAIZHAO_DATABASE", rights.runtime.store.db.name)
    return Given(record, keys)


@pytest.fixture
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUAIZHAO_MONGO_URL", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1")
    monkeypatch.setenv("KUAIZHAO_DATABASE", "none")


async def test_a_record_is_verified_offline(given: Given, kuaizhao: Kuaizhao, nothing_at_hand: None) -> None:
    answer = await kuaizhao("record", "verify", str(given.record), "--keys", str(given.keys))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        "signed by https://kuaizhao.local at 2026-11-23T08:00:00Z, good until 2027-11-23T08:00:00Z, "
        f"of https://kuaizhao.local/workers/{WORKER}: 1 shifts, 480 min, 2026-11-23 to 2026-11-23\n"
    )
    told = json.loads((await kuaizhao("record", "verify", str(given.record), "--keys", str(given.keys), "--json")).out)
    assert told["wrong"] == []
    assert told["record"]["credentialSubject"]["totalMinutes"] == 480


async def test_on_the_markets_machines_its_keys_need_no_file(given: Given, kuaizhao: Kuaizhao) -> None:
    answer = await kuaizhao("record", "verify", str(given.record))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("signed by https://kuaizhao.local")


async def test_what_was_changed_is_refused(given: Given, kuaizhao: Kuaizhao) -> None:
    text = given.record.read_text("utf-8")
    at = len(text) // 2
    given.record.write_text(f"{text[:at]}{'B' if text[at] == 'A' else 'A'}{text[at + 1 :]}", "utf-8")
    answer = await kuaizhao("record", "verify", str(given.record), "--keys", str(given.keys))
    assert answer.code == 1
    assert answer.out in (
        "its signature does not hold: something in it was changed, or another signed it\n",
        "it is not a signed record\n",
    )


async def test_a_key_of_somebody_else_is_not_known(given: Given, kuaizhao: Kuaizhao) -> None:
    keys: dict[str, Any] = json.loads(given.keys.read_text("utf-8"))
    given.keys.write_text(json.dumps({"keys": keys["keys"][1:]}), "utf-8")
    answer = await kuaizhao("record", "verify", str(given.record), "--keys", str(given.keys))
    assert (answer.code, answer.err) == (1, "")
    assert "is not among the issuer's keys that were given" in answer.out


@pytest.mark.parametrize("content", ["", "{", "null", "a.b.c", "\udcff"])
async def test_what_is_no_record_is_refused_in_one_line(given: Given, kuaizhao: Kuaizhao, content: str) -> None:
    given.record.write_text(content, "utf-8", errors="surrogateescape")
    answer = await kuaizhao("record", "verify", str(given.record), "--keys", str(given.keys))
    assert (answer.code, answer.out) == (1, "it is not a signed record\n")


async def test_files_that_cannot_be_read_are_named(given: Given, kuaizhao: Kuaizhao, tmp_path: Path) -> None:
    for arguments in (
        [str(tmp_path / "none.jwt"), "--keys", str(given.keys)],
        [str(given.record), "--keys", str(tmp_path / "none.json")],
        [str(given.record), "--keys", str(given.record)],
    ):
        answer = await kuaizhao("record", "verify", *arguments)
        assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
