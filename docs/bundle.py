"""The contracts as one file for whoever listens or speaks: `python -m docs.bundle`, or `make contracts`.

    build/kuaizhao-contracts-<version>.tar.gz
        VERSION  CHANGELOG.md  LICENSE  asyncapi.json  schemas/<type>.json  examples/<type>.json  SHA256SUMS

The version is that of the last release, with `-next` where the events have changed since. The same contracts give the
same bytes, whoever packs them and when.
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from docs.build import HERE, files
from shared.contracts import catalogue
from shared.contracts.record import EXAMPLES, SCHEMAS, changes, releases, schema_of

BUILD = HERE.parent / "build"


def version() -> str:
    """The last release's number, and whether the events are still its."""
    kept = releases()
    last = next(reversed(kept), "0.0")
    now = {type_: schema_of(kind) for type_, kind in catalogue().items()}
    return f"{last}-next" if changes(kept.get(last, {}), now) else last


def contents(version: str, written: Mapping[str, str]) -> dict[str, bytes]:
    """What the file holds, by name. `written` is what is generated of docs/."""
    parts = {
        "VERSION": f"{version}\n".encode(),
        "CHANGELOG.md": written["events-changelog.md"].encode(),
        "LICENSE": (HERE.parent / "LICENSE").read_bytes(),
        "asyncapi.json": written["site/asyncapi.json"].encode(),
        **{
            f"{folder.name}/{file.name}": file.read_bytes()
            for folder in (SCHEMAS, EXAMPLES)
            for file in folder.iterdir()
        },
    }
    sums = "".join(f"{hashlib.sha256(part).hexdigest()}  {name}\n" for name, part in sorted(parts.items()))
    return parts | {"SHA256SUMS": sums.encode()}


def packed(version: str, parts: Mapping[str, bytes]) -> bytes:
    """A gzipped tar of these parts, in the order of their names, without times and owners."""
    raw = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, part in sorted(parts.items()):
            entry = tarfile.TarInfo(f"kuaizhao-contracts-{version}/{name}")
            entry.size, entry.mode = len(part), 0o644
            tar.addfile(entry, io.BytesIO(part))
    return raw.getvalue()


def main() -> None:
    number = version()
    BUILD.mkdir(exist_ok=True)
    file: Path = BUILD / f"kuaizhao-contracts-{number}.tar.gz"
    file.write_bytes(packed(number, contents(number, files())))
    print(f"contracts: {file.relative_to(HERE.parent)}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
