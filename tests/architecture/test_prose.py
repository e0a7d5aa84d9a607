"""What the documents name is there: files, functions, links and commands."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, files

DOCUMENTS = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))

TOP = ("services", "shared", "ops", "clients", "deploy", "docs", "tests", "bench")


def links(text: str) -> set[str]:
    """The files that a document links to or shows."""
    found = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
    return {link for link in found if not link.startswith(("http:", "https:", "mailto:", "/"))}


def named_files(text: str) -> set[str]:
    """Paths below the project's folders, in backticks or plain; those with a placeholder or a made-up name left out."""
    found = re.findall(rf"(?<![\w/.])((?:{'|'.join(TOP)})/[\w./-]*\w(?:\.\w+)?)", text)
    return {path.rstrip(".") for path in found}


def named_functions(text: str) -> set[tuple[str, str]]:
    """What is named as `file.py:function` or `file.py:Class.method`; a bare file is beside the file named before."""
    found, folder = set(), ""
    for path, name in re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", text):
        if "/" in path:
            folder = path.rsplit("/", 1)[0]
        if name:
            found.add((path if "/" in path else f"{folder}/{path}", name))
    return found


def defined(source: str) -> set[str]:
    """The functions, classes and methods of a file, methods as `Class.method`."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{part.name}" for part in getattr(node, "body", ()) if hasattr(part, "name")}
    return names


def faults(text: str, at: Path, root: Path) -> list[str]:
    """What a document names that is not there."""
    wrong = [f"links to {link}" for link in links(text) if not (at / link).exists()]
    prose = re.sub(r"(?ms)^```.*?^```", "", text)
    wrong += [f"names {path}" for path in named_files(prose) if not (root / path).exists()]
    for path, name in named_functions(prose):
        if not (root / path).exists() or name not in defined((root / path).read_text("utf-8")):
            wrong.append(f"names {path}:{name}")
    targets = set(re.findall(r"(?m)^([a-z-]+):", (root / "Makefile").read_text("utf-8")))
    wrong += [f"names `make {target}`" for target in re.findall(r"`make ([a-z-]+)", text) if target not in targets]
    return wrong


@each_document
def test_what_a_document_names_is_there(document: Path) -> None:
    text = document.read_text("utf-8")
    if document.name == "tutorial.md":  # the service it adds is not there before
        text = re.sub(r"[\w/.]*stations[\w/.]*", "", text)
    assert faults(text, document.parent, ROOT) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](gone.md)", "links to gone.md"),
        ("![a](../b.png)", "links to ../b.png"),
        ('<img src="c.png">', "links to c.png"),
        ("see shared/gone.py.", "names shared/gone.py"),
        ("`services/posting/api.py:gone`", "names services/posting/api.py:gone"),
        ("`services/posting/api.py` then `lifecycle.py:gone`", "names services/posting/lifecycle.py:gone"),
        ("`make gone`", "names `make gone`"),
    ],
)
def test_what_is_not_there_is_noticed(text: str, fault: str) -> None:
    assert faults(text, ROOT / "docs", ROOT) == [fault]


def test_what_is_there_is_found() -> None:
    text = (
        "[e](events.md#a) `services/posting/api.py:post_gig`, `lifecycle.py:post`, `shared/unit.py:Unit.get`, `make up`"
    )
    assert faults(text, ROOT / "docs", ROOT) == []


@pytest.mark.parametrize("readme", sorted(ROOT.glob("README*.md")), ids=lambda path: path.name)
def test_code_that_a_readme_shows_is_in_the_services(readme: Path) -> None:
    shown = re.findall(r"(?ms)^```python\n(.*?)^```", readme.read_text("utf-8"))
    assert shown
    sources = [file.read_text("utf-8") for file in files("services")]
    assert [code for code in shown if not any(code in source for source in sources)] == []
