"""The command line as an operator has it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog

from ops.__main__ import run
from tests.service.shared.conftest import ledger  # noqa: F401 - a fixture


@dataclass
class Answer:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Kuaizhao = Callable[..., Awaitable[Answer]]


@pytest.fixture
def kuaizhao(command_line: Kuaizhao, mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> Kuaizhao:
    monkeypatch.setenv("KUAIZHAO_MONGO_URL", mongo_url)
    return command_line


@pytest.fixture
def command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Kuaizhao]:
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)

    async def command(*arguments: str) -> Answer:
        capsys.readouterr()

        def caught() -> int:
            try:
                return run(arguments)
            except SystemExit as ended:  # argparse's own way out
                return int(ended.code or 0)

        code = await asyncio.to_thread(caught)
        return Answer(code, *capsys.readouterr())

    logs = structlog.get_config()
    yield command
    # A command silences its process' logs for good, and other tests read them.
    structlog.configure(**logs)
    logging.disable(logging.NOTSET)
