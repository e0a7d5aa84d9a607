"""Personal data at rest: encrypted fields, and blind indexes that find an equal value without reading one.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; the subject and field are bound as associated data, so that a
value cannot be moved to another person's row. Blind index: HMAC-SHA-256 under a key of its own.
"""

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.settings import Settings


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
