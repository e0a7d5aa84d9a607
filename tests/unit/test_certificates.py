"""A process has the certificates that its files hold now, and says what is wrong with them in one line."""

import socket
import ssl
import time
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client import REGISTRY

from shared.certificates import Certificates
from shared.settings import Settings
from tests.certificates import Authority

AUTHORITY = Authority()


def write(folder: Path, *, days: int = 30, authority: Authority = AUTHORITY) -> Settings:
    made = authority.make("matching", days=days)
    for name, content in (("ca.crt", authority.certificate), ("user.crt", made.certificate), ("user.key", made.key)):
        (folder / name).write_bytes(content)
    return Settings(
        kafka_ca=str(folder / "ca.crt"), kafka_certificate=str(folder / "user.crt"), kafka_key=str(folder / "user.key")
    )


def days_left(certificate: str) -> float:
    labels = {"service": "matching", "certificate": certificate}
    end = REGISTRY.get_sample_value("kuaizhao_certificate_expiry_timestamp_seconds", labels)
    assert end is not None
    return (end - time.time()) / 86_400


def shown_to_a_server(context: ssl.SSLContext, folder: Path) -> float:
    """The days that the certificate still has by which this client makes itself known."""
    made = AUTHORITY.make("broker")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=AUTHORITY.certificate.decode())
    (folder / "broker.pem").write_bytes(made.key + made.certificate)
    server.load_cert_chain(folder / "broker.pem")
    seen: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with server.wrap_socket(connection, server_side=True) as secure:
                shown = secure.getpeercert()
                assert shown
                seen.append((ssl.cert_time_to_seconds(str(shown["notAfter"])) - time.time()) / 86_400)

        thread = Thread(target=serve)
        thread.start()
        with socket.create_connection(listening.getsockname()) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1"):
                thread.join()
    return seen[0]


def test_without_files_kafka_is_spoken_to_in_the_open() -> None:
    assert Certificates(Settings(), "matching").options == {}


def test_the_end_of_each_certificate_is_told(tmp_path: Path) -> None:
    certificates = Certificates(write(tmp_path), "matching")
    assert certificates.options["security_protocol"] == "SSL"
    assert 29.9 < days_left("user.crt") < 30.1
    assert 364.9 < days_left("ca.crt") < 365.1


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    certificates = Certificates(write(tmp_path, days=3), "matching")
    assert certificates.context is not None
    assert 2.9 < shown_to_a_server(certificates.context, tmp_path) < 3.1
    write(tmp_path, days=90)
    certificates.look()
    assert 89.9 < shown_to_a_server(certificates.context, tmp_path) < 90.1
    assert 89.9 < days_left("user.crt") < 90.1


def test_what_is_wrong_is_one_line_with_the_setting(tmp_path: Path) -> None:
    settings = write(tmp_path)
    with pytest.raises(ValueError, match=r"^Kafka over TLS needs all of .*: only KUAIZHAO_KAFKA_CA are set$"):
        Certificates(Settings(kafka_ca=settings.kafka_ca), "matching")
    with pytest.raises(ValueError, match=r"^KUAIZHAO_KAFKA_KEY: /nowhere cannot be read: No such file"):
        Certificates(settings.model_copy(update={"kafka_key": "/nowhere"}), "matching")
    (tmp_path / "user.key").write_bytes(AUTHORITY.make("another").key)
    with pytest.raises(ValueError, match=r"^KUAIZHAO_KAFKA_KEY: .*user\.key is not the key of .*user\.crt"):
        Certificates(settings, "matching")
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(ValueError, match=r"^KUAIZHAO_KAFKA_CA is no certificate in PEM"):
        Certificates(settings, "matching")


def test_those_in_use_go_on_while_a_file_is_wrong(tmp_path: Path) -> None:
    certificates = Certificates(write(tmp_path), "matching")
    assert certificates.context is not None
    (tmp_path / "user.crt").write_text("half a fi")
    with pytest.raises(ValueError, match="KUAIZHAO_KAFKA_CERTIFICATE"):
        certificates.look()
    assert 29.9 < shown_to_a_server(certificates.context, tmp_path) < 30.1
