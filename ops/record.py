"""`kuaizhao record verify`: whether a worker's record is as its market signed it, without asking anybody."""

from pathlib import Path
from typing import Any

import orjson

from ops.opened import Refused, opened
from shared import clock
from shared.credential import Checked, check
from shared.problems import Text
from shared.settings import Settings
from shared.signing import published_with_times

UNREADABLE = Text("{file} cannot be read: {why}", "无法读取 {file}：{why}")


async def verify(file: str, keys: str | None, settings: Settings) -> Checked:
    """Check a record with the keys in a file (a JWK set), or, on the market's own machines, with those of rights.

    Raises `Refused` when a file cannot be read.
    """
    text = _read(file).decode("ascii", "replace").strip()
    if keys is None:
        async with opened(settings, ["rights"]) as services:
            jwks: Any = await published_with_times(services["rights"].store.reading())
    else:
        try:
            jwks = orjson.loads(_read(keys))
        except ValueError as error:
            raise Refused(UNREADABLE, file=keys, why=error) from error
    return check(text, jwks, clock.now())


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Refused(UNREADABLE, file=file, why=error.strerror or error) from error
