"""What a window went by, kept whole for a while: who asks why is answered from it, and it can be matched again.

The engine's arrays are kept as they were handed to it, in numpy's own format, compressed.
"""

import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from services.matching import engine
from services.matching.engine import Busy, Caps, Gigs, Ints, Offers, People
from services.matching.rules import Rules
from services.matching.snapshot import Snapshot
from services.matching.store import Window
from shared import clock

LEVEL = 1
"""Of zlib: higher ones take three times as long for a tenth less."""

_PARTS: Mapping[str, type[Any]] = {"gigs": Gigs, "people": People, "busy": Busy, "caps": Caps}


def of(seen: Snapshot, inputs: bytes, district: str, rules: Rules, seed: int, now: datetime) -> Window:
    """The record of a window, not saved yet. `rules` are those that the engine was given."""
    return Window(
        id=clock.new_id(),
        district=district,
        at=now,
        seed=seed,
        rules=rules,
        gig_ids=seen.gigs.ids.tolist(),
        codes=seen.codes,
        tags=seen.tags,
        inputs=inputs,
        gone_at=now + timedelta(days=rules.windows_kept_days),
    )


def packed(seen: Snapshot) -> bytes:
    """The engine's inputs as bytes."""
    arrays = {}
    for name in (*_PARTS, "refused"):
        for field, array in _arrays(getattr(seen, name)).items():
            arrays[f"{name}.{field}".rstrip(".")] = array.astype(np.bytes_) if array.dtype.kind == "U" else array
    raw = BytesIO()
    np.savez(raw, **arrays)  # type: ignore[arg-type]  # its one other parameter is named, and no array has that name
    return zlib.compress(raw.getvalue(), LEVEL)


class Inputs(NamedTuple):
    """The engine's inputs, as they were."""

    gigs: Gigs
    people: People
    busy: Busy
    caps: Caps
    refused: Ints


def again(window: Window) -> tuple[Inputs, Offers]:
    """Match the same inputs by the same rules and seed: the same offers, as long as the engine is the same."""
    seen = unpacked(window.inputs)
    return seen, engine.match(*seen, window.rules, window.seed)


def unpacked(inputs: bytes) -> Inputs:
    """What `packed` made bytes of."""
    with np.load(BytesIO(zlib.decompress(inputs)), allow_pickle=False) as arrays:
        found: dict[str, Any] = {
            name: np.char.decode(array) if array.dtype.kind == "S" else array for name, array in arrays.items()
        }
    found.setdefault("people.days", np.zeros_like(found["people.tier"]))  # records from before days were counted
    parts: dict[str, Any] = {
        name: kind(**{field: found[f"{name}.{field}"] for field in _names(kind)}) for name, kind in _PARTS.items()
    }
    return Inputs(**parts, refused=found["refused"])


def _arrays(part: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {"": part} if isinstance(part, np.ndarray) else {name: getattr(part, name) for name in _names(type(part))}


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else kind._fields
