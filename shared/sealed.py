"""Personal data at rest: encrypted fields, and blind indexes that find an equal value without reading one.

    sealer = PersonalSealer(runtime.sealer, unit)             # in a route: `sealer: InSealer`
    name = await sealer.seal("…", of=worker_id, field="name")
    await sealer.open(name, of=worker_id, field="name")

Each person has a key of their own in each service (`PersonKey`), wrapped under the service's. Destroying it makes every
copy of what was sealed with it unreadable, in this database and in each copy made of its other collections: that is how
a person is erased (decision 95). What is nobody's, or is gone within minutes, is sealed by the service (`Sealer`).

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; the subject and field are bound as associated data, so that a
value cannot be moved to another person's row. Blind index: HMAC-SHA-256 under a key of its own.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.problems import Problem, Text
from shared.settings import Settings
from shared.unit import Document, Unit

SEALED = b"kz1:"
"""What a value sealed for a person begins with; its field and a colon follow."""

ERASED = Text("This account has been erased.", "该账户已注销，个人信息已删除。")


class Sealer:
    """Seals and opens one service's personal fields. Raises ValueError when the secret is missing or too short."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._cipher = AESGCM(derived(settings, f"{service} fields"))
        self._index_key = derived(settings, f"{service} index")

    def seal(self, value: str, *, subject: str, field: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, value.encode(), f"{subject}/{field}".encode())

    def open(self, sealed: bytes, *, subject: str, field: str) -> str:
        """The value; raises cryptography's InvalidTag when it was altered or belongs to another subject or field."""
        return self._cipher.decrypt(sealed[:12], sealed[12:], f"{subject}/{field}".encode()).decode()

    def blind(self, value: str, *, field: str) -> str:
        """The same text for the same value, useless without the key."""
        return hmac.new(self._index_key, f"{field}/{value}".encode(), hashlib.sha256).hexdigest()


class Shredded(Exception):
    """The value is of somebody whose key was destroyed: nobody can read it any more."""


class PersonKey(Document):
    """A person's key in this service, wrapped. The id is the person's account.

    Destroyed (`wrapped` is None) it stays, so that whatever comes of this person later finds that they were erased.
    """

    collection = "_keys"

    wrapped: bytes | None
    destroyed_at: datetime | None = None


class PersonalSealer:
    """Seals and opens what is of people, each with their own key, within one unit."""

    def __init__(self, sealer: Sealer, unit: Unit) -> None:
        self._sealer, self._unit = sealer, unit

    def blind(self, value: str, *, field: str) -> str:
        return self._sealer.blind(value, field=field)

    async def load(self, people: Iterable[str]) -> None:
        """Have the keys of many at hand."""
        await self._unit.load(PersonKey, people)

    async def seal(self, value: str, *, of: str, field: str) -> bytes:
        """The value under the person's key, which is made with their first. Raises a 410 `Problem` once erased."""
        key = await self._unit.get(PersonKey, of)
        if key is None:
            made = base64.b64encode(AESGCM.generate_key(256)).decode()
            key = PersonKey(id=of, wrapped=self._sealer.seal(made, subject=of, field="key"))
            self._unit.save(key)
        if key.wrapped is None:
            raise Problem(410, "account-erased", ERASED)
        nonce = os.urandom(12)
        head = SEALED + field.encode() + b":"
        return head + nonce + self._cipher(key).encrypt(nonce, value.encode(), f"{of}/{field}".encode())

    async def open(self, sealed: bytes, *, of: str, field: str) -> str:
        """The value. Raises `Shredded` when its person was erased, InvalidTag as `Sealer.open` does.

        What was sealed before people had keys is opened with the service's until then.
        """
        key = await self._unit.get(PersonKey, of)
        if key is not None and key.wrapped is None:
            raise Shredded(of)
        if not sealed.startswith(SEALED):
            return self._sealer.open(sealed, subject=of, field=field)
        head = SEALED + field.encode() + b":"
        if key is None or not sealed.startswith(head):
            raise InvalidTag
        box = sealed[len(head) :]
        return self._cipher(key).decrypt(box[:12], box[12:], f"{of}/{field}".encode()).decode()

    async def opened(self, sealed: bytes | None, *, of: str, field: str) -> str | None:
        """The value of what may be there; None when it is not, and when its person was erased.

        Also of what was sealed before people had keys under something else than a person, such as a placement.
        """
        try:
            return await self.open(sealed, of=of, field=field) if sealed else None
        except Shredded:
            return None
        except InvalidTag:
            if sealed and sealed.startswith(SEALED):
                raise
            return None

    def _cipher(self, key: PersonKey) -> AESGCM:
        return AESGCM(base64.b64decode(self._sealer.open(key.wrapped or b"", subject=key.id, field="key")))


async def erased(unit: Unit, person_id: str) -> bool:
    """True once this person's key was destroyed in this service: nothing is remembered of them any more."""
    key = await unit.get(PersonKey, person_id)
    return key is not None and key.wrapped is None


async def shred(unit: Unit, person_id: str) -> None:
    """Destroy a person's key in this service, and remember that it was. Nothing happens when it is."""
    key = await unit.get(PersonKey, person_id) or PersonKey(id=person_id, wrapped=b"")
    if key.wrapped is not None:
        key.wrapped, key.destroyed_at = None, unit.now
        unit.save(key)


def derived(settings: Settings, purpose: str, length: int = 32) -> bytes:
    """Secret octets that every process of the region has for a purpose, and no other purpose.

    Raises ValueError when the secret is missing or too short.
    """
    try:
        secret = base64.b64decode(settings.secret.get_secret_value())
    except ValueError:
        secret = b""
    if len(secret) < 32:
        raise ValueError("KUAIZHAO_SECRET must be the base64 text of at least 32 random bytes")
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=f"kuaizhao {purpose}".encode()).derive(secret)
