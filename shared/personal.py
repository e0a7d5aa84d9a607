"""What a service holds of people, said in one table, by which their data are exported and erased.

    PERSONAL = (                                            # services/<name>/personal.py, given to the Service
        Holding(Worker, at=("_id",)),
        Holding(Agreement, at=("parties.worker_id",), kept="labour contract law, art. 50"),
    )
    await erase(unit, PERSONAL, event.account_id)           # services/<name>/handlers.py, at AccountErased

A test walks through a market and finds every collection that holds somebody's id and is in no table.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from cryptography.exceptions import InvalidTag
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from shared.auth import Caller, any_of
from shared.contracts.terms import Instant
from shared.http import InSealer, InUnit, Routes
from shared.problems import Missing, Text
from shared.sealed import SEALED, PersonalSealer, PersonKey, shred
from shared.unit import Document, Unit

ERASURE = Text("erasure", "注销记录")


@dataclass(frozen=True)
class Holding:
    """Documents of one kind that are about people.

    `at`: the fields that hold the id of whose they are; `also`: of who is not shown them, but with whom they go too.
    `kept`: why, and by which rule, they outlast an erasure, without what was sealed in them; the others are deleted.
    `hides`: fields that are secrets or of no meaning to the person; `shows` makes something else of a document for
    whose it is, such as one without what others said in confidence.
    """

    kind: type[Document]
    at: tuple[str, ...]
    also: tuple[str, ...] = ()
    kept: str = ""
    hides: tuple[str, ...] = ()
    shows: Callable[[Any, str], Mapping[str, Any]] | None = None

    def of(self, person_id: str) -> dict[str, Any]:
        """The query for those that a person is shown."""
        return _either(self.at, person_id)

    def about(self, person_id: str) -> dict[str, Any]:
        """The query for those that go with a person."""
        return _either(self.at + self.also, person_id)

    def shown(self, document: Document, person_id: str) -> dict[str, Any]:
        rows = self.shows(document, person_id) if self.shows else document.model_dump()
        return {name: value for name, value in rows.items() if name not in ("version", *self.hides)}


def _either(fields: tuple[str, ...], person_id: str) -> dict[str, Any]:
    return {"$or": [{field: person_id} for field in fields]}


# --- export ----------------------------------------------------------------------------------------------------------


class Export(BaseModel):
    """What a service holds of a person, by its collections, with what is sealed opened (PIPL, art. 45).

    `kept`: which of it outlasts an erasure, and why.
    """

    service: str
    account_id: str
    made_at: Instant
    collections: dict[str, list[dict[str, Any]]]
    kept: dict[str, str]


async def export(
    unit: Unit, sealer: PersonalSealer, holdings: Iterable[Holding], person_id: str
) -> dict[str, list[dict[str, Any]]]:
    """A person's documents by collection, as plain JSON values."""
    found: dict[str, list[dict[str, Any]]] = {}
    for holding in holdings:
        if not holding.at:
            continue
        documents = await unit.find(holding.kind, holding.of(person_id), sort=[("_id", 1)])
        rows = [await _plain(holding.shown(document, person_id), sealer, person_id) for document in documents]
        found.setdefault(holding.kind.collection, []).extend(rows)
    return found


async def _plain(value: Any, sealer: PersonalSealer, person_id: str) -> Any:
    """A value as JSON. What is sealed is opened; what another person's key alone opens is left out."""
    match value:
        case dict():
            return {name: await _plain(part, sealer, person_id) for name, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [await _plain(part, sealer, person_id) for part in value]
        case bytes() if value.startswith(SEALED):
            field = value[len(SEALED) :].partition(b":")[0].decode()
            try:
                return await sealer.opened(value, of=person_id, field=field)
            except InvalidTag:
                return None
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
        case datetime():
            return value.isoformat()
        case _:
            return value


# --- erasure ---------------------------------------------------------------------------------------------------------


async def erase(unit: Unit, holdings: Iterable[Holding], person_id: str) -> None:
    """Destroy a person's key, delete what is not kept, and answers kept for their repeated commands. Again: nothing."""
    await shred(unit, person_id)
    for holding in holdings:
        for document in [] if holding.kept else await unit.find(holding.kind, holding.about(person_id)):
            unit.delete(document)
    for role in ("worker", "employer"):
        mine = {"$gte": f"{role}:{person_id}:", "$lt": f"{role}:{person_id};"}
        await unit.db["_answers"].delete_many({"_id": mine}, session=unit.session)


async def forget_kept(unit: Unit, holdings: Iterable[Holding], person_id: str) -> None:
    """The time of what was kept of an erased person is over: delete it too."""
    for holding in holdings:
        for document in await unit.find(holding.kind, holding.of(person_id)) if holding.at else []:
            unit.delete(document)


# --- over HTTP -------------------------------------------------------------------------------------------------------


class ErasureView(BaseModel):
    """That a service has erased an account, and when: its key was destroyed, and what is not kept is deleted."""

    account_id: str
    erased_at: Instant


def routes_for(service: str, holdings: tuple[Holding, ...]) -> APIRouter:
    """What every service that holds something of people has: their export, and the proof that it was erased."""
    routes = Routes(service)

    @routes.get("/me/export")
    async def my_data(
        person: Annotated[Caller, Depends(any_of("worker", "employer"))], unit: InUnit, sealer: InSealer
    ) -> Export:
        """All that this service holds of the caller, with what is sealed opened (PIPL, art. 45)."""
        return Export(
            service=service,
            account_id=person.id,
            made_at=unit.now,
            collections=await export(unit, sealer, holdings, person.id),
            kept={holding.kind.collection: holding.kept for holding in holdings if holding.kept},
        )

    @routes.get("/erasures/{account_id}")
    async def erasure(account_id: Annotated[str, Path(max_length=64)], unit: InUnit) -> ErasureView:
        """That an account was erased here, and when. Public: whoever was erased cannot sign in to ask; 404 if not."""
        key = await unit.get(PersonKey, account_id)
        if key is None or key.destroyed_at is None:
            raise Missing(ERASURE)
        return ErasureView(account_id=account_id, erased_at=key.destroyed_at)

    return routes
