"""A browser that takes web push messages, and its push service: opened by RFC 8291 as a receiver does, on its own."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.service.notify.sink import Sink


def packed(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Browser:
    """One subscription, at `path` of a push service that a sink plays."""

    def __init__(self, sink: Sink, name: str = "one", key: EllipticCurvePrivateKey | None = None) -> None:
        self._key = key or generate_private_key(SECP256R1())
        self._secret = name.encode().ljust(16, b"-")
        self.origin = sink.url.rpartition("/")[0]
        self.endpoint = f"{self.origin}/push/{name}"
        self.taken_from: dict[str, Any] = {}
        self.headers: dict[str, str] = {}

    @property
    def subscription(self) -> dict[str, Any]:
        """As `PushSubscription.toJSON()` gives it, in our form."""
        public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"address": self.endpoint, "keys": {"p256dh": packed(public), "auth": packed(self._secret)}}

    def take(self, head: str, raw: bytes) -> dict[str, Any]:
        """What a message says, when it is for this browser and from whom it says."""
        self.headers = {
            name.lower(): value for name, value in (line.split(": ", 1) for line in head.splitlines()[1:] if line)
        }
        self.taken_from = self._vouched(self.headers["authorization"])
        found: dict[str, Any] = json.loads(self.opened(raw))
        return found

    def opened(self, raw: bytes) -> bytes:
        """RFC 8188, 2.1 and RFC 8291, 3.4."""
        salt, size, length = raw[:16], int.from_bytes(raw[16:20]), raw[20]
        theirs, sealed = raw[21 : 21 + length], raw[21 + length :]
        assert len(sealed) <= size <= 4096
        ours = unpacked(self.subscription["keys"]["p256dh"])
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), theirs)
        agreed = self._key.exchange(ECDH(), point)
        secret = derived(self._secret, agreed, b"WebPush: info\0" + ours + theirs, 32)
        key = derived(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derived(salt, secret, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        assert padded.endswith(b"\2")
        return padded[:-1]

    def _vouched(self, header: str) -> dict[str, Any]:
        """RFC 8292, 2 and 3: the claims, signed with the key that is named."""
        scheme, _, rest = header.partition(" ")
        assert scheme == "vapid"
        said = dict(part.strip().split("=", 1) for part in rest.split(","))
        x, y = unpacked(said["k"])[1:33], unpacked(said["k"])[33:]
        key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": packed(x), "y": packed(y)})
        return {**jwt.decode(said["t"], key, algorithms=["ES256"]).claims, "k": said["k"]}


def derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
