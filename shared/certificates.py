"""The certificates by which a process and its broker know one another: read from files, read again when they change.

Whoever makes them (Strimzi does) makes new ones before the old ones end, in the same files. A connection that is opened
after that uses the new ones, so no process has to be started again for it.
"""

import ssl
from pathlib import Path
from typing import Any

from cryptography import x509

from shared.settings import Settings
from shared.telemetry import METRICS


class Certificates:
    """The TLS context for Kafka, kept as its files are; none without `kafka_ca`: Kafka is spoken to in the open then.

    Raises:
        ValueError: a file that is missing or is no certificate or key, with the setting that names it.
    """

    def __init__(self, settings: Settings, service: str) -> None:
        self._service = service
        self._files = {
            f"KUAIZHAO_{name.upper()}": Path(getattr(settings, name))
            for name in ("kafka_ca", "kafka_certificate", "kafka_key")
            if getattr(settings, name)
        }
        if self._files and len(self._files) != 3:
            raise ValueError(
                f"Kafka over TLS needs all of {', '.join(SETTINGS)}: only {', '.join(self._files)} are set"
            )
        self._read: dict[str, bytes] = {}
        self.context: ssl.SSLContext | None = None
        if self._files:
            self.context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
            self.look()

    @property
    def options(self) -> dict[str, Any]:
        """What aiokafka's clients take to use them."""
        return {"security_protocol": "SSL", "ssl_context": self.context} if self.context else {}

    def look(self) -> None:
        """Load what is new in the files, and say when each certificate ends."""
        if self.context is None:
            return
        read = {name: _content(name, path) for name, path in self._files.items()}
        if read != self._read:
            ca, certificate, key = SETTINGS
            ends = {name: _end(name, read[name]) for name in (ca, certificate)}
            try:
                self.context.load_cert_chain(self._files[certificate], self._files[key])
            except ssl.SSLError as error:
                raise ValueError(
                    f"{key}: {self._files[key]} is not the key of {self._files[certificate]}: {error}"
                ) from None
            self.context.load_verify_locations(cadata=read[ca].decode())
            for name, end in ends.items():
                METRICS.certificate_expiry.labels(self._service, self._files[name].name).set(end)
            self._read = read


SETTINGS = ("KUAIZHAO_KAFKA_CA", "KUAIZHAO_KAFKA_CERTIFICATE", "KUAIZHAO_KAFKA_KEY")


def _content(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from None


def _end(name: str, pem: bytes) -> float:
    """When the first of some certificates ends, in seconds since 1970."""
    try:
        return min(each.not_valid_after_utc.timestamp() for each in x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise ValueError(f"{name} is no certificate in PEM: {error}") from None
