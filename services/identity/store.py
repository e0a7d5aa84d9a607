"""What identity remembers: accounts, codes, how often was tried, sessions, signing keys; what binds people, who read.

No phone number, code, password or token can be read here: they are sealed, or kept as a hash or a blind index.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel
from pymongo import DESCENDING, IndexModel

from services.identity.domain import Limit, Window, spend
from services.identity.rules import SHIPPED, Rules
from shared.auth import Role
from shared.clock import new_id
from shared.rulebook import RuleBook, RuleVersion
from shared.signing import KeyRing
from shared.unit import Document, Unit


class Account(Document):
    """One who signs in. `login` is unique: a role with a phone's blind index, a username or an agency's name.

    `phone` is sealed and a person's; `secret_hash` (argon2id) is a clerk's, an operator's or an agency's.
    """

    collection = "accounts"
    indexes = (IndexModel("login", unique=True),)

    login: str
    role: Role
    made_at: datetime
    districts: list[str] = []
    name: str | None = None
    phone: bytes | None = None
    secret_hash: str | None = None


class Outgoing(BaseModel):
    """The message that carries a code: sealed, and gone as soon as the provider has it."""

    phone: bytes
    code: bytes
    language: str
    due_at: datetime
    tries: int = 0


class Code(Document):
    """The one code that a phone can sign in with now. `id` is the phone's blind index.

    `salt` also names the message to the provider, who sends a message once however often it is asked to.
    """

    collection = "codes"
    indexes = (
        IndexModel("expires_at", expireAfterSeconds=0),
        IndexModel("outgoing.due_at", partialFilterExpression={"outgoing.due_at": {"$exists": True}}),
    )

    salt: str
    code_hash: str
    expires_at: datetime
    tries: int = 0
    outgoing: Outgoing | None = None

    def may_be_tried(self, most: int, now: datetime) -> bool:
        return self.tries < most and now < self.expires_at


class Quota(Document):
    """How much of some limits one phone or one username has used."""

    collection = "quotas"
    indexes = (IndexModel("forget_at", expireAfterSeconds=0),)

    windows: list[Window] = []
    forget_at: datetime


class Session(Document):
    """A sign-in that can be refreshed: the family of refresh tokens of which only the newest counts."""

    collection = "sessions"
    indexes = (IndexModel("account_id"), IndexModel("expires_at", expireAfterSeconds=0))

    account_id: str
    token_hash: str
    expires_at: datetime


class Tie(Document):
    """What binds people to the market: a placement, pay that is owed, a case, a sanction. Its id is `<kind>:<its id>`.

    `until`: a placement's planned end, or a sanction's; None while only what ended a placement has been heard of.
    `over`, once said, stays so, whatever comes later or again; `cancelled` likewise. Kept until `forget_at`.
    """

    collection = "ties"
    indexes = (IndexModel("people"), IndexModel("forget_at", expireAfterSeconds=0))

    kind: Literal["placement", "pay", "case", "sanction"]
    subject: str
    people: list[str]
    district: str
    until: datetime | None = None
    cancelled: bool = False
    over: bool = False
    forget_at: datetime | None = None

    def readable_until(self, rules: Rules) -> datetime | None:
        """Until when each side of a placement may read the other's phone; None when neither may."""
        return self.until + rules.contact if self.kind == "placement" and self.until and not self.cancelled else None

    def holds(self, rules: Rules, now: datetime) -> bool:
        """True while an account that it binds cannot be erased."""
        if self.over or self.cancelled:
            return False
        if self.kind == "placement":
            return self.until is not None and now < self.until + rules.settling
        return self.until is None or now < self.until


class Reading(Document):
    """An entry of the access log: who read what of a person, why and when, and never the value.

    `ref` is the placement or case that it was for; `reason`, what a clerk wrote, is sealed.
    """

    collection = "readings"
    indexes = (
        IndexModel([("person_id", 1), ("_id", DESCENDING)]),
        IndexModel([("by_id", 1), ("_id", DESCENDING)]),
        IndexModel("forget_at", expireAfterSeconds=0),
    )

    person_id: str
    by_id: str
    by_role: Role
    field: Literal["phone"] = "phone"
    why: Literal["placement", "case", "clerk"]
    ref: str | None
    reason: bytes | None
    at: datetime
    forget_at: datetime


DOCUMENTS = (Account, Code, Quota, Session, KeyRing, Tie, Reading, RuleVersion)

RULES = RuleBook(Rules, SHIPPED)


def person_login(role: Role, phone_index: str) -> str:
    return f"{role}:{phone_index}"


def user_login(username: str) -> str:
    return f"user:{username}"


def agency_login(name: str) -> str:
    return f"agency:{name}"


async def account_with(unit: Unit, login: str) -> Account | None:
    found = await unit.find(Account, {"login": login}, limit=1)
    return found[0] if found else None


def add_account(
    unit: Unit, role: Role, login: str, *, name: str, secret_hash: str, districts: list[str] | None = None
) -> Account:
    """A new account of one who signs in with a secret."""
    account = Account(
        id=new_id(),
        login=login,
        role=role,
        made_at=unit.now,
        districts=districts or [],
        name=name,
        secret_hash=secret_hash,
    )
    unit.save(account)
    return account


async def person(unit: Unit, role: Role, phone_index: str) -> tuple[Account, bool]:
    """The account of this phone in this role, and whether it is a new one: then its phone is yet to be sealed."""
    login = person_login(role, phone_index)
    if found := await account_with(unit, login):
        return found, False
    return Account(id=new_id(), login=login, role=role, made_at=unit.now), True


async def spent(unit: Unit, name: str, limits: tuple[Limit, ...]) -> timedelta:
    """Use one of these limits under this name; how long to wait instead, when they are used up."""
    quota = await unit.get(Quota, name) or Quota(id=name, forget_at=unit.now)
    quota.windows, wait = spend(quota.windows, limits, unit.now)
    if not wait:
        quota.forget_at = unit.now + max(limit.within for limit in limits)
        unit.save(quota)
    return wait


async def ties_of(unit: Unit, *people: str) -> list[Tie]:
    """What binds this person, or these people to one another; the newest first."""
    return await unit.find(Tie, {"people": {"$all": list(people)}}, sort=[("_id", DESCENDING)])


async def bonds_of(unit: Unit, person_id: str) -> list[Tie]:
    """What keeps a person's account from being erased now."""
    ties = await ties_of(unit, person_id)
    return [tie for tie in ties if tie.holds(await RULES.of(unit, tie.district), unit.now)]


async def readings(unit: Unit, query: dict[str, str], *, after: str | None, limit: int) -> list[Reading]:
    """Entries of the access log, newest first, beginning behind the id `after`."""
    older = {"_id": {"$lt": after}} if after else {}
    return await unit.find(Reading, {**query, **older}, sort=[("_id", DESCENDING)], limit=limit)


def codes_to_send(now: datetime) -> dict[str, Any]:
    return {"outgoing.due_at": {"$lte": now}}
