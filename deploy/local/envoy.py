"""deploy/envoy.yaml for one machine: the same gateway, only its socket addresses are other ones."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

Address = tuple[str, int]


def render(config: str, addresses: Mapping[Address, Address]) -> str:
    """The configuration with every socket address replaced by the one it maps to.

    Raises:
        KeyError: an address in the configuration that the mapping does not know.
    """
    document = yaml.safe_load(config)
    for socket in list(_sockets(document)):
        socket["address"], socket["port_value"] = addresses[socket["address"], socket["port_value"]]
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=1_000_000)
    return text


def _sockets(node: Any) -> Iterator[dict[str, Any]]:
    match node:
        case {"socket_address": dict(socket)}:
            yield socket
        case dict():
            for value in node.values():
                yield from _sockets(value)
        case list():
            for value in node:
                yield from _sockets(value)
