"""Run services: `python -m shared.run matching`, or several of them in one process.

Ports: KUAIZHAO_PORT for one service, KUAIZHAO_PORT_<NAME> for each of several; else 8101 to 8106.
"""

import asyncio
import gc
import importlib
import importlib.util
import os
import signal
import sys

import structlog
import uvicorn
from prometheus_client import disable_created_metrics
from pydantic import ValidationError

from shared.certificates import Certificates
from shared.sealed import Sealer
from shared.service import Service
from shared.settings import Settings, wrong
from shared.telemetry import start_logs

PORTS = {"identity": 8101, "posting": 8102, "workers": 8103, "matching": 8104, "rights": 8105, "notify": 8106}

GARBAGE_EVERY = (50_000, 20, 50)
"""Python's own (700, 10, 10) walks what a batch or a window of ten thousand rows has read again and again: a quarter
of a large window's processor time."""

log = structlog.get_logger()


def load(name: str) -> Service:
    """The service of this name, whose folder is its import; a dotted name is a module that holds one.

    Raises ValueError for a name that is no service's.
    """
    known(name)
    service = importlib.import_module(name if "." in name else f"services.{name}.app").service
    assert isinstance(service, Service)
    return service


def known(name: str) -> None:
    """Raises ValueError unless a service may have this name."""
    if "." not in name and importlib.util.find_spec(f"services.{name}") is None:
        raise ValueError(f"no service {name}: there are {', '.join(PORTS)}")


def settings_of(name: str, alone: bool) -> Settings:
    """Raises ValueError for a port that is none."""
    settings = Settings()
    own = os.environ.get(variable := f"KUAIZHAO_PORT_{name.upper().replace('.', '_')}", "")
    if own and not (own.isdecimal() and int(own) < 1 << 16):
        raise ValueError(f"{variable}: must be a port, 1 to 65535")
    return settings.model_copy(update={"port": int(own or (alone and settings.port) or PORTS.get(name, 0))})


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: one handler stops all the services of this process."""

    def install_signal_handlers(self) -> None: ...


async def run(names: list[str]) -> None:
    start_logs(Settings(), names[0] if len(names) == 1 else "kuaizhao")
    servers, apps = [], []
    for name in names:
        settings = settings_of(name, alone=len(names) == 1)
        apps.append(load(name).app(settings))
        config = uvicorn.Config(
            apps[-1],
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=75,
            backlog=4096,
        )
        servers.append(Server(config))

    def stop() -> None:
        for server, app in zip(servers, apps, strict=True):
            server.should_exit = True
            if runtime := getattr(app.state, "runtime", None):
                runtime.begin_to_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await asyncio.gather(*(server._serve() for server in servers))


def main() -> None:
    names = sys.argv[1:]
    if not names:
        sys.exit("usage: python -m shared.run <service> [<service> ...]")
    try:
        for name in names:
            known(name)
            settings = settings_of(name, alone=len(names) == 1)
            Sealer(settings, name)
            Certificates(settings, name)
    except ValidationError as error:
        sys.exit("\n".join(wrong(error)))
    except ValueError as error:
        sys.exit(str(error))
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of no use
    gc.set_threshold(*GARBAGE_EVERY)
    asyncio.run(run(names))


if __name__ == "__main__":
    main()
