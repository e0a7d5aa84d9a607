"""A real Envoy with the shipped configuration in front of small upstream servers, for the gateway's tests."""

import asyncio
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.local.envoy import render
from deploy.local.ports import USUAL, free_ports

CONFIG = Path(__file__).parents[2] / "deploy" / "envoy.yaml"
DRAIN = CONFIG.with_name("drain.sh")
ENVOY = Path(sys.executable).with_name("envoy")
FLAGS = (
    *("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"),
    *("--drain-time-s", "10", "--drain-strategy", "immediate"),
)
SERVICES = ("identity", "posting", "workers", "matching", "rights", "notify", "web")
SIGNING = ECKey.generate_key("P-256", {"kid": "a", "use": "sig", "alg": "ES256"})
T = TypeVar("T")


def token(key: ECKey = SIGNING, **changes: Any) -> str:
    """A signed access token as identity issues them; `changes` replace claims, None leaves one out."""
    claims = {
        "iss": "https://kuaizhao.local",
        "aud": "kuaizhao",
        "sub": "worker-1",
        "role": "worker",
        "exp": int(time.time()) + 300,
        **changes,
    }
    header = {"alg": "ES256", "kid": key.kid}
    return jwt.encode(header, {name: claim for name, claim in claims.items() if claim is not None}, key)


def bearer(**changes: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(**changes)}"}


def eventually(what: Callable[[], T], seconds: float = 20) -> T:
    """The first true value of `what`; AssertionError if there is none within `seconds`."""
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "the awaited thing did not happen"
        threading.Event().wait(0.02)
    return value


class Upstream:
    """A service behind the gateway. It answers with what it was sent, and can be stopped and started again.

    Identity publishes the signing key, notify and web stream what is put in `news`, web keeps the spans it is sent.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.news: queue.Queue[str | None] = queue.Queue()
        self.spans: list[tuple[str, Span]] = []
        self._app = Starlette(
            routes=[
                Route("/api/identity/.well-known/jwks.json", self._jwks),
                Route("/api/notify/stream", self._stream),
                Route("/live/events", self._stream),
                Route("/otlp/v1/traces", self._collect, methods=["POST"]),
                Route("/{path:path}", self._echo, methods=["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]),
            ]
        )

    def start(self) -> None:
        config = uvicorn.Config(
            self._app,
            port=self.port,
            log_level="error",
            lifespan="off",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name=self.name, daemon=True)
        self._thread.start()
        eventually(lambda: self._server.started)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [SIGNING.as_dict(private=False)]})

    async def _stream(self, _: Request) -> Response:
        async def events() -> Any:
            while (text := await asyncio.to_thread(self.news.get)) is not None:
                yield f"data: {text}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _collect(self, request: Request) -> Response:
        if "x-forwarded-for" in request.headers:  # as web does
            return Response(status_code=404)
        batch = ExportTraceServiceRequest.FromString(await request.body())
        for resource in batch.resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            self.spans += [(named["service.name"], span) for scope in resource.scope_spans for span in scope.spans]
        return Response()

    async def _echo(self, request: Request) -> Response:
        body = await request.body()
        seen = {"service": self.name, "path": request.url.path, "headers": dict(request.headers), "bytes": len(body)}
        return JSONResponse(seen, headers={"x-served-by": self.name})


class Gateway:
    """Envoy on free ports. `frozen` stops the refilling of the rate limits; nothing else is changed but addresses."""

    def __init__(self, folder: Path, *, frozen: bool = False) -> None:
        ports = free_ports([*SERVICES, "edge", "admin", "metrics"])
        self.upstreams = {name: Upstream(name, ports[name]) for name in SERVICES}
        edge, admin, metrics = ports["edge"], ports["admin"], ports["metrics"]
        config = CONFIG.read_text()
        if frozen:
            config = config.replace("fill_interval: 1s", "fill_interval: 3600s")
        self._log = folder / "envoy.log"
        self._config = folder / "envoy.yaml"
        self._config.write_text(
            render(
                config,
                {
                    ("0.0.0.0", 8000): ("127.0.0.1", edge),
                    ("127.0.0.1", 8001): ("127.0.0.1", admin),
                    ("0.0.0.0", 8002): ("127.0.0.1", metrics),
                    **{(name, USUAL[name]): ("127.0.0.1", to.port) for name, to in self.upstreams.items()},
                    ("otel-collector", 4318): ("otel-collector", 4318),  # not there, as without the profile `obs`
                },
            )
        )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{edge}", timeout=30)
        self.admin = httpx.Client(base_url=f"http://127.0.0.1:{admin}", timeout=10)
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"

    def stat(self, name: str) -> int:
        """One of Envoy's counters or gauges."""
        lines = self.admin.get("/stats", params={"filter": f"^{name}$"}).text.splitlines()
        return int(lines[0].split(": ")[1]) if lines else 0

    def spans(self, trace: str) -> list[tuple[str, Span]]:
        """The exported spans of one trace, each with its service's name."""
        return [(service, span) for service, span in self.upstreams["web"].spans if span.trace_id.hex() == trace]

    def log(self) -> str:
        return self._log.read_text()

    @contextmanager
    def running(self) -> Iterator["Gateway"]:
        """Upstreams and Envoy up, with identity's key known; all ended afterwards."""
        for upstream in self.upstreams.values():
            upstream.start()
        with self._log.open("w") as out:
            command = [str(ENVOY), "-c", str(self._config), *FLAGS]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            eventually(self._ready)
            yield self
        finally:
            self.process.terminate()
            self.process.wait(20)
            self.http.close()
            self.admin.close()
            for upstream in self.upstreams.values():
                upstream.news.put(None)
                upstream.stop()

    def _ready(self) -> bool:
        assert self.process.poll() is None, f"Envoy ended:\n{self.log()}"
        try:
            return self.http.get("/api/workers/probe", headers=bearer()).status_code == 200
        except httpx.TransportError:
            return False
