"""What code may hold: no clock but ours, nothing side by side in a unit, no driver in a service, no work at import."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, Rule, clock_reads, driver_names, files, together_in_a_unit

CLOCK_READ_BECAUSE = {
    "shared/clock.py": "it is the clock",
    "shared/testing.py": "tokens are checked against the machine's time by their library",
    "services/identity/shield.py": "windows of the limits library end at the machine's time",
}

RULES: list[tuple[Rule, tuple[str, ...]]] = [
    (clock_reads, ("services", "shared", "ops")),
    (together_in_a_unit, ("services", "shared", "ops")),
    (driver_names, ("services",)),
]


@pytest.mark.parametrize(("rule", "folders"), RULES, ids=[rule.__name__ for rule, _ in RULES])
def test_code_keeps_the_rule(rule: Rule, folders: tuple[str, ...]) -> None:
    checked = files(*folders)
    assert len(checked) > 20
    faults = {str(file.relative_to(ROOT)): rule(ast.parse(file.read_text("utf-8")), str(file)) for file in checked}
    excused = CLOCK_READ_BECAUSE if rule is clock_reads else {}
    assert [fault for name, found in faults.items() if name not in excused for fault in found] == []
    assert [name for name in excused if not faults.get(name)] == [], "no longer needs its excuse"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (clock_reads, "import datetime\nat = datetime.datetime.now(datetime.UTC)"),
        (clock_reads, "from datetime import datetime\ndef f():\n    return datetime.now()"),
        (clock_reads, "from datetime import date\nday = date.today()"),
        (clock_reads, "import time\nasync def f():\n    x = [time.time()]"),
        (clock_reads, "from uuid import uuid4\nid = str(uuid4())"),
        (together_in_a_unit, "async def f(event, unit):\n    await asyncio.gather(unit.get(A, '1'), unit.get(A, '2'))"),
        (together_in_a_unit, "async def f(at: InUnit):\n    async with TaskGroup() as group: ..."),
        (together_in_a_unit, "async def f(u: Unit):\n    async def g():\n        asyncio.create_task(u.get(A, '1'))"),
        (driver_names, "import pymongo"),
        (driver_names, "from pymongo import AsyncMongoClient"),
        (driver_names, "from pymongo.errors import BulkWriteError"),
        (driver_names, "from bson import ObjectId"),
        (driver_names, "from motor.motor_asyncio import AsyncIOMotorClient"),
        (driver_names, "from pymongo import IndexModel"),
    ],
)
def test_a_planted_fault_is_noticed(rule: Rule, code: str) -> None:
    assert rule(ast.parse(code), "services/posting/api.py")


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (clock_reads, "def f(unit):\n    return unit.now, clock.now(), monotonic(), datetime(2026, 11, 23)"),
        (together_in_a_unit, "async def f(runtime):\n    await asyncio.gather(a(), b())"),
        (together_in_a_unit, "async def f(unit):\n    await unit.get(A, '1')"),
        (driver_names, "from pymongo import ASCENDING, IndexModel\nfrom pymongo.errors import PyMongoError"),
    ],
)
def test_what_is_allowed_is_left_alone(rule: Rule, code: str) -> None:
    assert rule(ast.parse(code), "services/posting/store.py") == []


# --- nothing happens at import -------------------------------------------------------------------------------------

_IMPORTER = """
import importlib, sys
FORBIDDEN = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system")
def hook(event, arguments):
    if event in FORBIDDEN:
        raise RuntimeError(f"{event} {arguments[1:]}")
sys.addaudithook(hook)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except RuntimeError as error:
        print(f"{name}: does {error} when it is imported")
"""


def import_faults(root: Path, modules: list[str]) -> list[str]:
    """What modules do that only a running process may: reach for the network, start a process; a sentence each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KUAIZHAO_")}
    ended = subprocess.run(
        [sys.executable, "-c", _IMPORTER, *modules],
        cwd=root,
        env=environment | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_module_opens_a_connection_at_import() -> None:
    code = set(files("shared", "services", "ops", "clients"))
    samples = set(files("clients/subscribers"))  # programs of other agencies, each by itself
    modules = [module_name(file) for file in sorted(code - samples) if file.name != "__main__.py"]
    assert "services.posting.app" in modules
    assert import_faults(ROOT, modules) == []


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', 9), 0.1)",
        "import socket\nsocket.socket().bind(('127.0.0.1', 0))",
        "import httpx\nhttpx.get('http://kafka.invalid/')",
        "import subprocess\nsubprocess.run(['true'])",
    ],
)
def test_a_module_that_works_at_import_is_noticed(code: str, tmp_path: Path) -> None:
    (tmp_path / "quiet.py").write_text("X = 1")
    (tmp_path / "planted.py").write_text(code)
    faults = import_faults(tmp_path, ["quiet", "planted"])
    assert len(faults) == 1
    assert faults[0].startswith("planted: does ")
