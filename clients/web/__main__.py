"""`python -m clients.web`: serve the live page on KUAIZHAO_HOST and KUAIZHAO_PORT (127.0.0.1:8100)."""

import socket

import uvicorn
from fastapi import FastAPI

from clients.web.app import make_app
from clients.web.events import Feed
from shared.settings import Settings
from shared.telemetry import start_logs

PORT = 8100


class Server(uvicorn.Server):
    """uvicorn, ending the event streams first, which would never end by themselves."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._feed: Feed = app.state.held.feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.close()
        await super().shutdown(sockets)


def main() -> None:
    settings = Settings()
    start_logs(settings, "web")
    app = make_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port or PORT,
        loop="asyncio",  # over uvloop, where there is one, a client of Kafka that speaks TLS waits for ever
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,
    )
    Server(app, config).run()


if __name__ == "__main__":
    main()
