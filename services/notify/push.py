"""Web push messages: sealed for one browser (RFC 8291, by aes128gcm of RFC 8188), and from whom they are (RFC 8292).

A browser's subscription is the address of its push service, a point of P-256 and a secret of 16 bytes. Only the browser
can read a message: its push service carries it.
"""

import base64
import os
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from shared import clock
from shared.sealed import derived
from shared.settings import Settings

RECORD = 4096
"""Octets of a message's one record, which every push service must take (RFC 8030, 7.2)."""
OVERHEAD = 16 + 4 + 1 + 65 + 1 + 16
"""Of them: salt, record size, the length of a key and the key, the delimiter, and the tag of AES-GCM."""
LONGEST = RECORD - OVERHEAD
"""Octets of a message."""

VOUCHED_SECONDS = 12 * 3_600
"""How long a token stands; at most 24 hours (RFC 8292, 2)."""

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The number of points of P-256 (FIPS 186-5 by SP 800-186, 3.2.1.3)."""


def unpack(text: str) -> bytes:
    """Base64url with or without its padding. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def pack(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def is_point(text: str) -> bool:
    """Whether a text is a point of P-256 as subscriptions have it: uncompressed (SEC 1, 2.3.3), in base64url."""
    try:
        _point(unpack(text))
    except ValueError:
        return False
    return True


def is_secret(text: str) -> bool:
    """Whether a text is a subscription's secret: 16 bytes in base64url."""
    try:
        return len(unpack(text)) == 16
    except ValueError:
        return False


def encrypted(
    message: bytes,
    p256dh: str,
    auth: str,
    *,
    salt: bytes | None = None,
    key: EllipticCurvePrivateKey | None = None,
) -> bytes:
    """A message as a body in `Content-Encoding: aes128gcm`. `salt` and `key` are new ones but for RFC 8291's example.

    Raises ValueError for one longer than `LONGEST`, and for what is no subscription's keys.
    """
    if len(message) > LONGEST:
        raise ValueError(f"a push message has at most {LONGEST} octets")
    salt, key = salt or os.urandom(16), key or generate_private_key(SECP256R1())
    theirs, ours = unpack(p256dh), _octets(key.public_key())
    shared = _hkdf(unpack(auth), key.exchange(ECDH(), _point(theirs)), b"WebPush: info\0" + theirs + ours, 32)
    content_key = _hkdf(salt, shared, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _hkdf(salt, shared, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(content_key).encrypt(nonce, message + b"\2", None)  # 2: the last record
    return salt + RECORD.to_bytes(4) + bytes([len(ours)]) + ours + sealed


class Sender:
    """Who sends: a key pair that follows from 48 secret octets, so that every process of a region has the same.

    `contact` is where a push service turns to when something is wrong: a mailto: or https: address.
    """

    def __init__(self, octets: bytes, contact: str) -> None:
        # FIPS 186-5, A.2.1: 128 bits more than needed, so that the remainder is even.
        key = derive_private_key(int.from_bytes(octets) % (_ORDER - 1) + 1, SECP256R1())
        self._key, self._contact = ECKey.import_key(key), contact
        self.public_key = pack(_octets(key.public_key()))

    def vouched(self, endpoint: str) -> str:
        """The `Authorization` of a message to an endpoint."""
        at = urlsplit(endpoint)
        claims = {
            "aud": f"{at.scheme}://{at.netloc}",
            "exp": int(clock.now().timestamp()) + VOUCHED_SECONDS,
            "sub": self._contact,
        }
        token = jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self._key)
        return f"vapid t={token}, k={self.public_key}"


def sender_of(settings: Settings) -> Sender:
    """The region's sender: of its secret, and reached as its e-mail's sender is."""
    return Sender(derived(settings, "notify push", 48), f"mailto:{settings.email_from}")


def _point(octets: bytes) -> EllipticCurvePublicKey:
    if len(octets) != 65:
        raise ValueError("not an uncompressed point of P-256")
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), octets)


def _octets(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
