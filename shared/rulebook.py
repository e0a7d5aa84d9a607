"""Rules that operators change while the market runs: versions by area, in force from a moment on, never overwritten.

    RULES = RuleBook(Rules, [Shipped(COUNTRY, figures)])    # services/<name>/store.py; RuleVersion among its documents
    rules = await RULES.of(unit, "430102")                  # wherever a unit needs them
    add_routes(routes, RULES)                               # services/<name>/api.py

What holds in a district is the country's figures with what is shipped and then what an operator set for its province,
its prefecture and itself. A version is never changed, so a name of rules says for ever which figures they were.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pymongo import ASCENDING, IndexModel

from shared.audit import audit
from shared.auth import Clerk, Operator
from shared.contracts.terms import Instant
from shared.districts import GivenDistrict
from shared.http import INVALID, InUnit
from shared.once import OnceAUnit
from shared.problems import Conflict, Fault, Invalid, Problem, Text
from shared.rules import ALWAYS, COUNTRY, Figures, Shipped, chain, merge_patch
from shared.unit import Document, Unit
from shared.wording import faults_of

M = TypeVar("M", bound=Figures)

Area = Annotated[
    str,
    Path(pattern=r"^(country|[1-9][0-9]([0-9]{2}){0,2})$"),
    Field(description="`country`, or a province (43), prefecture (4301) or district (430102) by GB/T 2260."),
]

CHANGED = Text(
    "These rules were changed meanwhile: the newest version is {number}. Read it, and say `replaces`: {number}.",
    "规则已被他人修改：最新版本为 {number}。请先查看，并将 replaces 设为 {number}。",
)
PAST = Text(
    "must not be in the past: what was done stands by the rules of its time", "不得早于当前时间：规则不溯及既往"
)
BEFORE_LAST = Text(
    "must not be before {since}, from when version {number} holds", "不得早于 {since}（版本 {number} 的生效时间）"
)
NOT_NAMED = Text("is given by the market", "由系统生成，不可填写")
NARROWER = Text("would no longer fit {area}, which has rules of its own: {why}", "与 {area} 自有规则不相容：{why}")


class RuleVersion(Document):
    """The whole of what an operator set for an area, in force from `since` until a later version is.

    Versions are numbered through all areas, and the id is the number: of two changes at the same moment one is made
    first and the other sees it, also when they are of different areas that must fit each other.
    """

    collection = "rules"
    indexes = (IndexModel([("area", ASCENDING), ("number", ASCENDING)]),)

    area: str
    number: int
    since: datetime
    changes: dict[str, Any]
    reason: str
    by: str
    at: datetime


class RuleBook(Generic[M]):
    """All rules of one service. Raises ValueError at the start when what is shipped does not make sense."""

    def __init__(self, model: type[M], shipped: Iterable[Shipped]) -> None:
        self.model = model
        self._shipped = sorted(shipped, key=lambda each: each.since)
        self._in_force = OnceAUnit[tuple[str, datetime], M]()
        for each in self._shipped:
            self._merged(each.area, each.since, [])

    def shipped(self, area: str = COUNTRY, now: datetime = ALWAYS) -> M:
        """What holds in an area where no operator set anything."""
        return self._merged(area, now, [])

    async def of(self, unit: Unit, district: str, *, at: datetime | None = None) -> M:
        """The rules in force in a district now, or at another moment."""
        moment = at or unit.now

        async def read() -> M:
            return self._merged(district, moment, await _versions(unit, chain(district)))

        return await self._in_force.get(unit, (district, moment), read)

    async def put(
        self,
        unit: Unit,
        area: str,
        changes: dict[str, Any],
        *,
        replaces: int,
        since: datetime | None,
        reason: str,
        by: str,
    ) -> RuleVersion:
        """Set what an area differs in, from `since` (now if None) on. `changes` replaces the version before as a whole.

        Raises `Conflict` rules-changed when `replaces` is not the newest version's number (0: there is none), and
        `Problem` 422 when the figures are no rules, there or in a narrower area that has rules of its own.
        """
        versions = await _versions(unit)
        last = next((each for each in reversed(versions) if each.area == area), None)
        number = last.number if last else 0
        if replaces != number:
            raise Conflict("rules-changed", CHANGED, number=number)
        since = unit.now if since is None else since
        if since < unit.now:
            raise Invalid("since", PAST)
        if last and since < last.since:
            raise Invalid("since", BEFORE_LAST, since=last.since.isoformat(), number=last.number)
        if "name" in changes:
            raise Invalid("changes.name", NOT_NAMED)
        number = max((each.number for each in versions), default=0) + 1
        version = RuleVersion(
            id=str(number),
            area=area,
            number=number,
            since=since,
            changes=changes,
            reason=reason,
            by=by,
            at=unit.now,
        )
        self._check(version, versions)
        unit.save(version)
        self._in_force.forget(unit)
        facts = {"area": area, "number": number, "since": since, "changes": changes, "reason": reason}
        before = {"replaces": replaces, "before": last.changes if last else {}}
        await audit(unit, by, "rules set", **facts, **before)
        return version

    def _check(self, version: RuleVersion, others: Sequence[RuleVersion]) -> None:
        """See that the area, and each within it that has rules of its own, has sound rules whenever any change."""
        within = [other for other in others if version.area in chain(other.area)]
        for area in sorted({version.area, *(other.area for other in within)}, key=lambda area: len(chain(area))):
            for moment in sorted({version.since, *(o.since for o in within if o.since > version.since)}):
                try:
                    self._merged(area, moment, [*others, version])
                except ValidationError as error:
                    raise _no_rules(version.area, area, faults_of(error.errors())) from error

    def _merged(self, area: str, now: datetime, versions: Iterable[RuleVersion]) -> M:
        in_force = {each.area: each for each in versions if each.since <= now}  # the newest, since they come in order
        figures: Any = {}
        named = ""
        for wider in chain(area):
            for each in self._shipped:
                if each.area == wider and each.since <= now:
                    figures = merge_patch(figures, each.figures)
            if version := in_force.get(wider):
                figures = merge_patch(figures, version.changes)
                named += f"+{version.area}.{version.number}"
        return self.model.model_validate(figures | {"name": f"{figures['name']}{named}"})


def _no_rules(area: str, at: str, faults: tuple[Fault, ...]) -> Problem:
    if area == at:
        named = (Fault(f"changes.{fault.field}".rstrip("."), fault.text) for fault in faults)
        return Problem(422, "invalid-fields", INVALID, faults=tuple(named))
    en, zh = ("; ".join(f"{fault.field} {fault.text[way]}" for fault in faults) for way in (0, 1))
    return Invalid("changes", Text(NARROWER.en.format(area=at, why=en), NARROWER.zh.format(area=at, why=zh)))


async def _versions(unit: Unit, areas: Sequence[str] | None = None) -> list[RuleVersion]:
    """What was set for these areas, or for all, by area and number."""
    query = {} if areas is None else {"area": {"$in": list(areas)}}
    return await unit.find(RuleVersion, query, sort=[("area", ASCENDING), ("number", ASCENDING)])


# --- over HTTP -------------------------------------------------------------------------------------------------------


class RulesView(BaseModel, Generic[M]):
    """The rules in force in a district at a moment."""

    district: str
    at: Instant
    rules: M


class VersionView(BaseModel):
    """One version of what an area differs in: the whole of it, who set it, and why."""

    area: str
    number: int
    since: Instant
    changes: dict[str, Any]
    reason: str
    by: str
    at: Instant

    @classmethod
    def of(cls, version: RuleVersion) -> "VersionView":
        return cls(**version.model_dump(include=set(cls.model_fields)))


class NewVersion(BaseModel):
    """What an area differs in from now, or from `since` on: the whole of it, as a JSON merge patch (RFC 7396).

    `replaces` is the number of the version that you saw, 0 if there was none.
    """

    model_config = ConfigDict(extra="forbid")

    changes: dict[str, Any]
    replaces: Annotated[int, Field(ge=0)]
    since: Instant | None = None
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=500)]


def add_routes(routes: APIRouter, book: RuleBook[M]) -> None:
    """A service's rules: read by everyone, with their history by clerks, set by operators."""

    async def rules(
        unit: InUnit, district: Annotated[GivenDistrict, Query()], at: Annotated[Instant | None, Query()] = None
    ) -> RulesView[M]:
        """The rules in force in a district, now or at a moment. Public."""
        moment = at or unit.now
        return RulesView(district=district, at=moment, rules=await book.of(unit, district, at=moment))

    view: Any = RulesView  # of a model that is known only here
    routes.add_api_route("/rules", rules, methods=["GET"], response_model=view[book.model])

    @routes.get("/rules/{area}/versions")
    async def rule_versions(area: Area, _: Clerk, unit: InUnit) -> list[VersionView]:
        """What was set for an area, the newest first, with what is to come into force."""
        return [VersionView.of(version) for version in reversed(await _versions(unit, [area]))]

    @routes.put("/rules/{area}")
    async def put_rules(area: Area, new: NewVersion, operator: Operator, unit: InUnit) -> VersionView:
        """Set what an area differs in; an empty `changes` ends what was set.

        409 `rules-changed`; 422 names the figure that cannot be, there or in an area within.
        """
        given = new.model_dump()
        return VersionView.of(await book.put(unit, area, by=operator.id, **given))
