"""What a unit asks for again and again and need read only once: a batch is one unit, and its transaction one snapshot.

_ALERTS = OnceAUnit[str, list[Alert]]()
return await _ALERTS.get(unit, "", lambda: unit.find(Alert, …))
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from shared.unit import Unit

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class OnceAUnit(Generic[K, V]):
    """Values by unit and key. Not for what a unit changes and then reads, unless it says so by `forget`."""

    def __init__(self) -> None:
        self._read: WeakKeyDictionary[Unit, dict[K, V]] = WeakKeyDictionary()

    async def get(self, unit: Unit, key: K, read: Callable[[], Awaitable[V]]) -> V:
        known = self._read.setdefault(unit, {})
        if key not in known:
            known[key] = await read()
        return known[key]

    def forget(self, unit: Unit) -> None:
        self._read.pop(unit, None)
