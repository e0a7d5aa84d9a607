"""What rights decided against a worker or an employer, as a service remembers it that has to respect it.

    react.to(SanctionSet, needs=sanctions.needed)     → `hear`, and the service ends what is open
    react.to(SanctionLifted, needs=sanctions.needed)  → `end`
    await sanctions.may_go_on(unit, party_id, …)      where something new would begin

Its end is compared with the moment of the act, so that no timer has to ring. The unit that begins something and the one
that hears of a sanction both save the party's own document: at one moment they collide, and the second sees the first.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from pymongo import IndexModel

from shared.contracts.rights import SanctionLifted, SanctionSet
from shared.problems import Conflict, Text
from shared.unit import Document, Unit


class HeardSanction(Document):
    """A sanction, by its id. Once it is lifted, it stays so."""

    collection = "heard_sanctions"
    indexes = (IndexModel("party_id"),)

    party_id: str
    kind: Literal["block", "suspend"]
    since: datetime
    until: datetime | None
    lifted_at: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        return self.lifted_at is None and (self.until is None or now < self.until)


class Refusal(NamedTuple):
    """How a service says no: `until` for a sanction that ends by itself, `for_good` for another."""

    code: str
    until: Text
    for_good: Text


def needed(event: SanctionSet | SanctionLifted) -> Iterable[tuple[type[Document], str]]:
    yield HeardSanction, event.sanction_id


async def hear(unit: Unit, event: SanctionSet) -> HeardSanction | None:
    """Keep a sanction; None when it is known, or was heard to be lifted before."""
    if await unit.get(HeardSanction, event.sanction_id):
        return None
    facts = event.model_dump(include={"party_id", "kind", "since", "until"})
    sanction = HeardSanction(id=event.sanction_id, **facts)
    unit.save(sanction)
    return sanction


async def end(unit: Unit, event: SanctionLifted) -> None:
    """It is over. One that is not known yet will not be in force."""
    sanction = await unit.get(HeardSanction, event.sanction_id)
    if sanction is None:
        sanction = HeardSanction(
            id=event.sanction_id, party_id=event.party_id, kind="block", since=event.at, until=None
        )
    sanction.lifted_at = sanction.lifted_at or event.at
    unit.save(sanction)


async def may_go_on(unit: Unit, party_id: str, refusal: Refusal) -> None:
    """Raises `Conflict` while any sanction is in force, naming the one that lasts longest."""
    must_be_free_of(await sanctions_of(unit, party_id), refusal, unit.now)


async def sanctions_of(unit: Unit, party_id: str) -> list[HeardSanction]:
    """Sanctions that have not been lifted, also those that have ended by themselves."""
    return await unit.find(HeardSanction, {"party_id": party_id, "lifted_at": None})


def must_be_free_of(sanctions: Iterable[HeardSanction], refusal: Refusal, now: datetime) -> None:
    """Raises `Conflict` as `may_go_on` does."""
    held = [each for each in sanctions if each.in_force(now)]
    if held:
        last = max(held, key=lambda each: (each.until is None, each.until or now))
        if last.until is None:
            raise Conflict(refusal.code, refusal.for_good, sanction_id=last.id)
        raise Conflict(refusal.code, refusal.until, sanction_id=last.id, until=last.until.isoformat())
