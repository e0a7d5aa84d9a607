"""What a service does when something happens elsewhere, or when a time has come."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.contracts import Event
from shared.unit import Document, Timer, Unit

E = TypeVar("E", bound=Event)
Needs = Callable[[Any], Iterable[tuple[type[Document], str]]]
Handler = Callable[[Any, Unit], Awaitable[None]]


@dataclass(frozen=True)
class Reaction:
    handler: Handler
    needs: Needs | None


class Reactions:
    """A service's table of handlers: at most one for an event, one for a timer.

        react = Reactions()

        @react.to(GigPosted)
        async def open_seats(event: GigPosted, unit: Unit) -> None: ...

        @react.at("offer-expiry")
        async def expire_offer(timer: Timer, unit: Unit) -> None: ...

    `needs` names the documents a handler will `get`, so that a batch loads them with one query per kind.
    """

    def __init__(self) -> None:
        self.events: dict[str, Reaction] = {}
        self.kinds: dict[str, type[Event]] = {}
        self.timers: dict[str, Handler] = {}
        self.remembered: dict[str, Handler] = {}

    def to(
        self, kind: type[E], *, needs: Callable[[E], Iterable[tuple[type[Document], str]]] | None = None
    ) -> Callable[[Callable[[E, Unit], Awaitable[None]]], Callable[[E, Unit], Awaitable[None]]]:
        if kind.type in self.events:
            raise TypeError(f"{kind.__name__} already has a reaction")

        def register(handler: Callable[[E, Unit], Awaitable[None]]) -> Callable[[E, Unit], Awaitable[None]]:
            self.events[kind.type] = Reaction(handler, needs)
            self.kinds[kind.type] = kind
            return handler

        return register

    def at(
        self, name: str
    ) -> Callable[[Callable[[Timer, Unit], Awaitable[None]]], Callable[[Timer, Unit], Awaitable[None]]]:
        def register(handler: Callable[[Timer, Unit], Awaitable[None]]) -> Callable[[Timer, Unit], Awaitable[None]]:
            self.timers[name] = handler
            return handler

        return register

    def remembering(
        self, kind: type[E]
    ) -> Callable[[Callable[[E, Unit], Awaitable[None]]], Callable[[E, Unit], Awaitable[None]]]:
        """How the service takes an event of its own back into its memory, after a restore from before it said it.

        For what comes of a command or of the service's own loops: what comes of events and timers it finds again. It
        says nothing: that was said.
        """

        def register(handler: Callable[[E, Unit], Awaitable[None]]) -> Callable[[E, Unit], Awaitable[None]]:
            self.remembered[kind.type] = handler
            return handler

        return register

    @property
    def topics(self) -> list[str]:
        return sorted({kind.topic for kind in self.kinds.values()})
