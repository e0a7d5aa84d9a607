"""Signed statements that anybody checks without us: W3C Verifiable Credentials Data Model 2.0, secured as a JWT.

    text = signed(credential, key)                  # Securing Verifiable Credentials using JOSE and COSE, section 3.1
    checked = check(text, jwks, now)                # no network: the issuer's published keys are all that it takes

The text is a compact JWS (RFC 7515) by ES256 (RFC 7518, section 3.4): header, the credential itself, signature. Each
part must be base64url as it is written (RFC 4648, section 3.5), so that no character of it can be another.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from shared.auth import ALGORITHM
from shared.evidence import Found
from shared.problems import Text
from shared.wording import Said

CONTEXT = "https://www.w3.org/ns/credentials/v2"
TYPE = "vc+jwt"

NOT_SIGNED = Text("it is not a signed record", "不是已签名的凭证")
OTHER_FORM = Text("it is not signed in the form of a record ({why})", "签名形式与凭证不符（{why}）")
UNKNOWN_KEY = Text(
    "the key that it names ({kid}) is not among the issuer's keys that were given",
    "其所用密钥（{kid}）不在所给的签发方公钥之中",
)
ALTERED = Text(
    "its signature does not hold: something in it was changed, or another signed it",
    "签名不成立：内容被更改，或由他人签发",
)
NOT_THEN = Text(
    "its key was not in use at {at}, when it says that it was made", "其所用密钥在所称的签发时间 {at} 并未启用"
)
TOO_EARLY = Text("it is valid from {at} on", "自 {at} 起方才有效")
EXPIRED = Text("it was valid until {at}; a new one can be had", "有效期至 {at}，已过期，可重新开具")

NO_DID = (
    "must be a did:key of an Ed25519 or P-256 key, such as did:key:z6Mk…",
    "应为 Ed25519 或 P-256 密钥的 did:key，例如 did:key:z6Mk…",
)
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
MULTICODECS = {b"\xed\x01": 32, b"\x80\x24": 33}
"""The prefixes of public keys in a did:key, and the bytes behind them: Ed25519, and P-256 compressed."""


class Checked(NamedTuple):
    """What is wrong with a text; and what it says, None while its signature does not hold."""

    faults: list[Found]
    credential: dict[str, Any] | None


def signed(credential: Mapping[str, Any], key: ECKey) -> str:
    """The credential under a signature of the issuer's key, which has a `kid`."""
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE, "cty": "vc"}
    return jws.serialize_compact(header, orjson.dumps(credential), key, algorithms=[ALGORITHM])


def check(text: str, jwks: Any, now: datetime) -> Checked:
    """Whether a text is as the issuer of these keys (a JWK set, RFC 7517) made it, and holds now.

    A key's `nbf` and `exp`, where it has them, say when it signed: it signed nothing before or after.
    """
    header = _part(text, 0)
    credential = _part(text, 1)
    if text.count(".") != 2 or header is None or credential is None or _decoded(text.rpartition(".")[2]) is None:
        return Checked([Found(NOT_SIGNED, {})], None)
    if (header.get("alg"), header.get("typ")) != (ALGORITHM, TYPE) or "crit" in header:
        why = f"{header.get('alg')}, {header.get('typ')}"
        return Checked([Found(OTHER_FORM, {"why": why})], None)
    jwk = _key(jwks, header.get("kid"))
    if jwk is None:
        return Checked([Found(UNKNOWN_KEY, {"kid": header.get("kid")})], None)
    try:
        jws.deserialize_compact(text, ECKey.import_key(jwk), algorithms=[ALGORITHM])
    except (JoseError, ValueError, TypeError, KeyError):  # the last two: of a key that is none
        return Checked([Found(ALTERED, {})], None)
    return Checked(_untimely(credential, jwk, now), credential)


def _untimely(credential: Mapping[str, Any], jwk: Mapping[str, Any], now: datetime) -> list[Found]:
    made, until = _moment(credential.get("validFrom")), _moment(credential.get("validUntil"))
    if made is None or until is None:
        return [Found(OTHER_FORM, {"why": "validFrom, validUntil"})]
    found = []
    second = made.timestamp()
    if not jwk.get("nbf", second) <= second < jwk.get("exp", second + 1):
        found.append(Found(NOT_THEN, {"at": credential["validFrom"]}))
    if now < made:
        found.append(Found(TOO_EARLY, {"at": credential["validFrom"]}))
    if now >= until:
        found.append(Found(EXPIRED, {"at": credential["validUntil"]}))
    return found


def _key(jwks: Any, kid: object) -> dict[str, Any] | None:
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    for key in keys if isinstance(keys, list) else []:
        if isinstance(key, dict) and kid and key.get("kid") == kid:
            times = (key[name] for name in ("nbf", "exp") if name in key)
            return key if all(isinstance(time, int) for time in times) else None
    return None


def _part(text: str, number: int) -> dict[str, Any] | None:
    """One part of a compact JWS as a JSON object; None when it is none."""
    part = _decoded(text.split(".")[number]) if text.count(".") == 2 else None
    try:
        value = orjson.loads(part or b"")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _decoded(part: str) -> bytes | None:
    """Base64url without padding, written in the one way that there is; None when it is not."""
    try:
        value = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        return None
    return value if base64.urlsafe_b64encode(value).rstrip(b"=") == part.encode() else None


def _moment(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if at.tzinfo else None


def holders_key(did: str) -> str:
    """The did:key (W3C) of who shall be able to show that the credential is theirs. Raises `Said` for another text."""
    method, _, letters = did.partition(":z")
    if method != "did:key" or not letters or any(letter not in BASE58 for letter in letters):
        raise Said(*NO_DID)
    number = 0
    for letter in letters:
        number = number * 58 + BASE58.index(letter)
    key = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if MULTICODECS.get(key[:2]) != len(key) - 2:
        raise Said(*NO_DID)
    return did
