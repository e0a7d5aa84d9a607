"""What identity remembers: accounts, codes on their way, how often was tried, sessions, signing keys.

No phone number, code, password or token can be read here: they are sealed, or kept as a hash or a blind index.
"""

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from pymongo import IndexModel

from services.identity.domain import Limit, Window, spend
from shared.auth import Role
from shared.clock import new_id
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
    indexes = (IndexModel("expires_at", expireAfterSeconds=0),)

    account_id: str
    token_hash: str
    expires_at: datetime


DOCUMENTS = (Account, Code, Quota, Session, KeyRing)


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


def codes_to_send(now: datetime) -> dict[str, Any]:
    return {"outgoing.due_at": {"$lte": now}}
