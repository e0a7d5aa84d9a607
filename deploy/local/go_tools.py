"""Programs of others that check what is deployed: built once from their Go modules into the cache, pinned by go.sum.

deploy/tools/<module>/go.mod says which versions, and Go checks each module that it fetches against go.sum. Whatever
changes there is a new folder in the cache.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka_dist import Say
from deploy.local.process import CannotRun
from deploy.local.servers import ROOT

TOOLS = ROOT / "deploy" / "tools"
BUILD_SECONDS = 1_800


@dataclass(frozen=True)
class Module:
    """One of deploy/tools: its programs, and what of it is left out (`tags`)."""

    name: str
    programs: tuple[str, ...]
    tags: str = ""
    package: str = "tool"
    """What is built: the tools that go.mod names, or the folder's own program."""


MODULES = (
    Module("kustomize", ("kustomize",)),
    Module("kube-score", ("kube-score",)),
    Module("collector", ("collector",), package="."),
    Module("pod-security", ("pod-security",), package="."),
    # Without the clouds in which Prometheus can look for what to scrape: DNS is what our configuration asks.
    Module("prometheus", ("prometheus", "promtool"), tags="remove_all_sd,enable_dns_sd"),
)


def tool(program: str, say: Say = print) -> Path:
    """The program, from the cache (`.cache` in the project, or KUAIZHAO_CACHE), built there first if need be.

    Raises:
        CannotRun: no Go, one that is too old, or a module that cannot be fetched or built.
    """
    module = next(module for module in MODULES if program in module.programs)
    source = TOOLS / module.name
    pinned = b"".join(path.read_bytes() for path in sorted(source.iterdir()) if path.is_file()) + module.tags.encode()
    cache = Path(os.environ.get("KUAIZHAO_CACHE") or ROOT / ".cache").absolute()
    home = cache / f"{module.name}-{hashlib.sha256(pinned).hexdigest()[:12]}"
    if not home.exists():
        _check_go(source)
        cache.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(cache / f"{module.name}.lock"):
            if not home.exists():
                say(f"building {', '.join(module.programs)} from the Go module in {source.relative_to(ROOT)} (once)")
                _build(module, source, home)
    return home / program


def _check_go(source: Path) -> None:
    wanted = re.search(r"(?m)^go (\d+)\.(\d+)", (source / "go.mod").read_text())
    go = shutil.which("go")
    if go is None:
        raise CannotRun(f"no Go in PATH: {source.name}, a checker of what is deployed, is built with it")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", said)
    if wanted and (found is None or tuple(map(int, found.groups())) < tuple(map(int, wanted.groups()))):
        raise CannotRun(f"{said or 'this Go'} is too old: {source.name} needs Go {wanted[1]}.{wanted[2]}")


def _build(module: Module, source: Path, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        made = Path(folder, "made")
        made.mkdir()
        # Only the versions of go.mod, and only with the sums of go.sum.
        command = ["go", "build", "-mod=readonly", "-trimpath", f"-tags={module.tags}", f"-o={made}/", module.package]
        try:
            done = subprocess.run(
                command, cwd=source, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise CannotRun(f"{module.name} was not built within {BUILD_SECONDS // 60} min") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
            raise CannotRun(f"Go could not build {module.name}: {lines[-1][:300]}")
        for program in module.programs:
            if not (made / program).exists():
                raise CannotRun(f"Go built no {program} from {source.relative_to(ROOT)}")
        os.replace(made, home)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
