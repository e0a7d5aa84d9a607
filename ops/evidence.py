"""`kuaizhao evidence verify`: whether a file of evidence is as the market gave it out."""

import hmac
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ops.opened import Refused
from shared.evidence import Found, faults
from shared.problems import Text
from shared.sealed import Sealer
from shared.settings import Settings

UNREADABLE = Text("{file} cannot be read: {why}", "无法读取 {file}：{why}")
OTHER_SEAL = Text(
    "its seal is not of this market: the whole of it was written anew", "印记不是本市场的：文件被整体改写"
)


class Verified(NamedTuple):
    """What is wrong with a file; `sealed` is None where there is no secret to check its seal with."""

    faults: list[Found]
    sealed: bool | None
    entries: int


def verify(file: str, settings: Settings) -> Verified:
    """Check the chain of a file, and with the market's secret its seal too. Raises `Refused` when it cannot be read."""
    try:
        content: Any = orjson.loads(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise Refused(UNREADABLE, file=file, why=error) from error
    found = faults(content)
    sealed = None
    if isinstance(content, dict) and settings.secret.get_secret_value():
        expected = Sealer(settings, "rights").blind(str(content.get("head_sha256")), field="evidence")
        sealed = hmac.compare_digest(expected.encode(), str(content.get("seal")).encode())
        if not sealed:
            found.append(Found(OTHER_SEAL, {}))
    entries = content.get("entries") if isinstance(content, dict) else None
    return Verified(found, sealed, len(entries) if isinstance(entries, list) else 0)
