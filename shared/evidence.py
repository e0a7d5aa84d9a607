"""A file whose entries are chained by hashes, so that what was changed, removed, added or moved in it is found.

    file = chained({"placement_id": "…"}, [("agreement", at, {…}), …])
    faults(file)                                            # none

Each entry has the SHA-256 of the entry before it (the first: of the file's head) and of its own canonical bytes: JSON
in UTF-8, no space, members sorted, as RFC 8785 for what is used here (texts, whole numbers, true, false, null).
`head_sha256` is the last entry's hash. Who can write a whole file anew can also chain it anew: `seal` is for that, a
keyed hash of `head_sha256` by the service that gave the file out.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from shared.problems import Text

NOT_A_FILE = Text("it is not a file of evidence", "不是证据文件")
ALTERED = Text("entry {number} ({kind}) is not as it was given out", "第 {number} 条（{kind}）与出具时不一致")
OUT_OF_PLACE = Text(
    "entry {number} ({kind}) does not follow the one before it: something was removed, added or moved",
    "第 {number} 条（{kind}）与前一条不衔接：有内容被删除、添加或移动",
)
CUT = Text("it does not end where it ended: something was removed or added", "结尾与出具时不一致：有内容被删除或添加")
DOCUMENT = Text(
    "the document of entry {number} does not have the hash that was agreed to", "第 {number} 条的文书与约定时的哈希不符"
)

HEAD = ("entries", "head_sha256", "seal")
"""Members of a file that its own first hash is not of."""


class Found(NamedTuple):
    """What is wrong with a file, and the figures that the text holds."""

    text: Text
    facts: dict[str, Any]


def canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def chained(head: Mapping[str, Any], entries: Iterable[tuple[str, str | None, Mapping[str, Any]]]) -> dict[str, Any]:
    """A file of these entries (kind, when it happened, what it says), in their order. `head` says what it is about."""
    previous = _hash(b"", head)
    chain = []
    for number, (kind, at, body) in enumerate(entries, 1):
        entry = {"number": number, "kind": kind, "at": at, "body": body}
        digest = _hash(previous.encode(), entry)
        chain.append(entry | {"previous_sha256": previous, "sha256": digest})
        previous = digest
    return {**head, "entries": chain, "head_sha256": previous}


def faults(file: Any) -> list[Found]:
    """What is wrong with a file; nothing when it is as it was made."""
    if not isinstance(file, dict) or not isinstance(file.get("entries"), list):
        return [Found(NOT_A_FILE, {})]
    found: list[Found] = []
    previous = _hash(b"", {name: value for name, value in file.items() if name not in HEAD})
    for number, entry in enumerate(file["entries"], 1):
        if not isinstance(entry, dict):
            return [*found, Found(NOT_A_FILE, {})]
        facts = {"number": number, "kind": entry.get("kind")}
        said = {name: value for name, value in entry.items() if name not in ("previous_sha256", "sha256")}
        if entry.get("previous_sha256") != previous or entry.get("number") != number:
            found.append(Found(OUT_OF_PLACE, facts))
        if entry.get("sha256") != _hash(str(entry.get("previous_sha256")).encode(), said):
            found.append(Found(ALTERED, facts))
        body = entry.get("body")
        document = body.get("document") if isinstance(body, dict) else None
        if (
            isinstance(document, str)
            and entry["body"].get("document_sha256") != hashlib.sha256(document.encode()).hexdigest()
        ):
            found.append(Found(DOCUMENT, facts))
        previous = str(entry.get("sha256"))
    if file.get("head_sha256") != previous:
        found.append(Found(CUT, {}))
    return found


def _hash(previous: bytes, said: Mapping[str, Any]) -> str:
    return hashlib.sha256(previous + canonical(said)).hexdigest()
