"""`kuaizhao evidence verify` on files that rights gave out."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.evidence import chained
from shared.testing import SECRET, Harness
from tests.service.ops.conftest import Kuaizhao
from tests.service.rights.placements import WORKER, placement_made
from tests.service.rights.test_pay import work

pytestmark = pytest.mark.feature("F46")


@pytest.fixture
async def given_out(rights: Harness, tmp_path: Path) -> Path:
    await rights.receives(placement_made())
    await work(rights)
    answer = await rights.http.get("/placements/placement-1/evidence", headers=rights.as_("worker", WORKER))
    file = tmp_path / "evidence.json"
    file.write_bytes(answer.content)
    return file


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def changed(file: Path, **members: Any) -> None:
    file.write_text(json.dumps(read(file) | members, ensure_ascii=False), "utf-8")


async def test_a_file_as_it_was_given_out_is_verified(given_out: Path, kuaizhao: Kuaizhao) -> None:
    answer = await kuaizhao("evidence", "verify", str(given_out))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("5 entries, nothing changed")
    changed(given_out)  # written in another way, it says the same
    assert (await kuaizhao("evidence", "verify", str(given_out))).code == 0


async def test_with_the_markets_secret_its_seal_is_verified_too(
    given_out: Path, kuaizhao: Kuaizhao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUAIZHAO_SECRET", SECRET)
    assert (await kuaizhao("evidence", "verify", str(given_out))).out == "5 entries, as this market gave them out\n"
    file = read(given_out)
    head = {name: value for name, value in file.items() if name not in ("entries", "head_sha256", "seal")}
    entries = [(entry["kind"], entry["at"], entry["body"]) for entry in file["entries"]]
    entries[2][2]["minutes"] = 600
    changed(given_out, **chained(head, entries))
    answer = await kuaizhao("evidence", "verify", str(given_out))
    assert (answer.code, answer.out) == (1, "its seal is not of this market: the whole of it was written anew\n")
    monkeypatch.delenv("KUAIZHAO_SECRET")
    assert (await kuaizhao("evidence", "verify", str(given_out))).code == 0  # only who has the secret can tell


async def test_what_was_changed_is_named_for_people_and_for_programs(given_out: Path, kuaizhao: Kuaizhao) -> None:
    file = read(given_out)
    file["entries"][2]["body"]["minutes"] = 600
    changed(given_out, entries=file["entries"])
    answer = await kuaizhao("evidence", "verify", str(given_out))
    assert (answer.code, answer.out) == (1, "entry 3 (shift) is not as it was given out\n")
    told = json.loads((await kuaizhao("evidence", "verify", str(given_out), "--json")).out)
    assert told == {"entries": 5, "sealed": None, "wrong": ["entry 3 (shift) is not as it was given out"]}
    changed(given_out, entries=[file["entries"][0], *file["entries"][4:]])
    answer = await kuaizhao("evidence", "verify", str(given_out))
    assert "entry 2 (pay) does not follow the one before it" in answer.out


@pytest.mark.parametrize("content", ["", "{", "[]", '{"entries": 1}', '{"entries": [1]}', '{"entries": [{}]}', "null"])
async def test_what_is_no_file_of_evidence_is_no_evidence(tmp_path: Path, kuaizhao: Kuaizhao, content: str) -> None:
    file = tmp_path / "some.json"
    file.write_text(content, "utf-8")
    answer = await kuaizhao("evidence", "verify", str(file))
    assert answer.code == 1
    assert answer.out or answer.err


async def test_a_file_that_is_not_there_is_said_in_one_line(tmp_path: Path, kuaizhao: Kuaizhao) -> None:
    answer = await kuaizhao("evidence", "verify", str(tmp_path / "none.json"))
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
