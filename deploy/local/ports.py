"""Which port each part listens on: the usual ones, or free ones for a stack beside others."""

import os
import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil

from deploy.local.process import CannotRun

SERVICES = ("identity", "posting", "workers", "matching", "rights", "notify")

USUAL: Mapping[str, int] = {
    "gateway": 8000,
    "gateway_admin": 8001,
    "gateway_metrics": 8002,
    "web": 8100,
    **{service: 8101 + number for number, service in enumerate(SERVICES)},
    "agencies": 8190,
    "kafka": 19092,
    "kafka_controller": 19093,
    "kafka_agencies": 19094,
    "mongo": 27117,
    "valkey": 16379,
}
"""Part to port."""

_GIVEN: set[int] = set()


def setting(part: str) -> str:
    """The environment variable that moves a part to another port."""
    return f"KUAIZHAO_{part.upper()}_PORT"


def usual_ports(environ: Mapping[str, str] = os.environ) -> dict[str, int]:
    """The usual ports, except where the environment says otherwise.

    Raises:
        CannotRun: a setting that is no port.
    """
    ports = {}
    for part, usual in USUAL.items():
        text = environ.get(setting(part), str(usual))
        if not text.isdecimal() or not 0 < int(text) < 65_536:
            raise CannotRun(f"{setting(part)}={text} is not a port: 1 to 65535")
        ports[part] = int(text)
    return ports


def free_ports(parts: Iterable[str] = USUAL) -> dict[str, int]:
    """Ports that nobody listens on at this moment; within KUAIZHAO_FREE_PORTS, `first-last`, where that is set.

    They lie below the range from which the system takes ports for outgoing connections: one of those could otherwise
    sit on the port of a server that was killed and is about to start again. None is given twice in a process: who was
    given one may listen on it much later.
    """
    top = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    usual = f"10000-{top - 1 if top > 20_000 else 65_535}"
    first, last = map(int, os.environ.get("KUAIZHAO_FREE_PORTS", usual).split("-"))
    ports: dict[str, int] = {}
    left = list({*range(first, last + 1)} - _GIVEN - {*USUAL.values()})
    random.shuffle(left)
    with ExitStack() as held:
        for part in parts:
            while part not in ports:
                if not left:
                    raise CannotRun(f"no port is free from {first} to {last}; KUAIZHAO_FREE_PORTS sets other bounds")
                port = left.pop()
                probe = held.enter_context(closing(_socket()))
                with suppress(OSError):
                    probe.bind(("127.0.0.1", port))
                    ports[part] = port
                    _GIVEN.add(port)
    return ports


def check_free(ports: Mapping[str, int]) -> None:
    """See that every port may be listened on.

    Raises:
        CannotRun: one that may not, with what holds it and what moves us elsewhere.
    """
    for part, port in ports.items():
        twin = next((other for other in ports if other != part and ports[other] == port), None)
        if twin:
            raise CannotRun(f"{setting(part)} and {setting(twin)} are both {port}")
        try:
            with closing(_socket()) as probe:
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CannotRun(
                f"port {port} ({part}) cannot be had{_holder(port) or f': {error.strerror}'};"
                f" {setting(part)} sets another"
            ) from None


def _socket() -> socket.socket:
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that only lingers after a close is free
    return probe


def _holder(port: int) -> str | None:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f": {psutil.Process(connection.pid).name()} (process {connection.pid}) holds it"
    except psutil.Error:
        pass
    return None
