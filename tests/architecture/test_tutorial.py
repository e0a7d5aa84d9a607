"""docs/tutorial.md, carried out on a copy of the project: what it writes works and keeps every rule."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.local.found import Servers
from tests.architecture.source import ROOT

COPIED = ("services", "ops", "shared", "clients", "deploy", "docs", "tests", "requirements")
FILES = ("pyproject.toml", ".importlinter", "docker-compose.yml", "Makefile")


class Block(NamedTuple):
    """A fenced block that names a file: its whole text, or a diff of it."""

    language: str
    path: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"(?ms)^```(\w+) file=(\S+)\n(.*?)^```$", text)]


def applied(diff: str, before: str) -> str:
    """A text with a diff applied: hunks divided by `@@`, each found by its own lines, which must stand there once.

    Raises ValueError when they do not.
    """
    for hunk in re.split(r"(?m)^@@\n", diff):
        lines = [line or " " for line in hunk.splitlines()]
        old, new = ("".join(f"\n{line[1:]}" for line in lines if line[0] in f" {side}") for side in "-+")
        place = re.compile(rf"{re.escape(old)}(?=\n)")
        times = len(place.findall(f"\n{before}"))
        if times != 1:
            raise ValueError(f"these lines stand there {times} times:{old}")
        before = place.sub(lambda _, new=new: new, f"\n{before}")[1:]  # type: ignore[misc]
    return before


def carry_out(text: str, root: Path) -> None:
    for block in blocks(text):
        file = root / block.path
        file.parent.mkdir(parents=True, exist_ok=True)
        if block.language == "diff":
            file.write_text(applied(block.text, file.read_text("utf-8")), "utf-8")
        else:
            file.write_text(block.text, "utf-8")


def copy(root: Path) -> None:
    for folder in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "images")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    for file in FILES:
        shutil.copy(ROOT / file, root / file)


def run(root: Path, *command: str, servers: Servers | None = None) -> str:
    environment = os.environ | {"PYTHONPATH": str(root)} | (servers.variables if servers else {})
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return ended.stdout


@pytest.mark.timeout(300)
def test_the_tutorial_works(tmp_path: Path, servers: Servers) -> None:
    copy(tmp_path)
    carry_out((ROOT / "docs" / "tutorial.md").read_text("utf-8"), tmp_path)
    assert "posting.employer-submitted.v1 recorded" in run(tmp_path, "shared.contracts.record")
    run(tmp_path, "docs.build")
    catalogue = (tmp_path / "docs" / "events.md").read_text("utf-8")
    assert "notify (`tell_of_submission`)" in catalogue
    assert "stations (`count_gig`)" in catalogue
    assert (tmp_path / "docs" / "site" / "openapi" / "stations.json").exists()
    tests = (
        "tests/service/stations",
        "tests/service/posting/test_submission.py",
        "tests/service/notify/test_submission.py",
        "tests/architecture/test_services.py",
        "tests/architecture/test_imports.py",
        *(f"tests/contract/test_{about}.py" for about in ("events", "privacy", "topics")),
    )
    run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", *tests, servers=servers)


def test_a_diff_that_does_not_fit_is_an_error() -> None:
    assert applied(" a\n+b\n", "a\nc\n") == "a\nb\nc\n"
    assert applied("-a\n+b\n@@\n c\n+d\n", "a\nc\n") == "b\nc\nd\n"
    for gone in ("z\n", "a\na\n"):
        with pytest.raises(ValueError, match="these lines stand there"):
            applied(" a\n+b\n", gone)
