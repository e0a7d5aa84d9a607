"""Rules on what code may hold: functions from a file's syntax tree to sentences, so that each can be shown to fail."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

Rule = Callable[[ast.Module, str], list[str]]

CLOCK = frozenset(
    {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "datetime.fromtimestamp",
        "date.today",
        "time.time",
        "time.time_ns",
        "time.localtime",
        "time.gmtime",
        "uuid1",
        "uuid4",
        "uuid7",
        "uuid.uuid1",
        "uuid.uuid4",
        "uuid_utils.uuid7",
    }
)

TOGETHER = frozenset({"gather", "create_task", "TaskGroup", "ensure_future", "as_completed"})

PYMONGO_NAMES = {
    "pymongo": frozenset({"ASCENDING", "DESCENDING", "GEOSPHERE", "HASHED", "TEXT", "IndexModel"}),
    "pymongo.errors": frozenset({"PyMongoError"}),
    "bson": frozenset({"Regex"}),
}
"""What a service may name of the driver: how its store's indexes are made, patterns, and that the database is away."""


def files(*folders: str) -> list[Path]:
    """The project's own Python files below these folders."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def dotted(node: ast.expr) -> str:
    """`datetime.now` for that expression; empty for what is no dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


def last_two(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def clock_reads(tree: ast.Module, where: str) -> list[str]:
    """The time and ids come from `unit.now` and `shared.clock`, so that a test can move the time of all."""
    return [
        f"{where}:{call.lineno}: {name}() reads the clock; use unit.now, shared.clock.now() or shared.clock.new_id()"
        for name, call in calls(tree)
        if last_two(name) in CLOCK
    ]


def together_in_a_unit(tree: ast.Module, where: str) -> list[str]:
    """A unit is one MongoDB session, which takes one operation at a time: nothing with a unit runs side by side, but
    reads by `at_once`, which waits for all of them."""
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and takes_unit(node):
            faults += [
                f"{where}:{call.lineno}: {node.name}() has a unit and calls {name}(); await one after the other, "
                "or reads by at_once()"
                for name, call in calls(node)
                if name.rsplit(".", 1)[-1] in TOGETHER
            ]
    return faults


def takes_unit(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return any(
        argument.arg == "unit"
        or (argument.annotation is not None and dotted(argument.annotation) in ("Unit", "InUnit"))
        for argument in arguments
    )


def driver_names(tree: ast.Module, where: str) -> list[str]:
    """A service names index models in its store, and the driver's one error; all else is the unit's to do."""
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for module, name in modules:
            if module.split(".")[0] not in ("pymongo", "bson", "motor"):
                continue
            allowed = name in PYMONGO_NAMES.get(module, ())
            if not allowed or (module == "pymongo" and Path(where).name != "store.py"):
                faults.append(f"{where}:{node.lineno}: {module} {name}".rstrip() + " is for shared to use")
    return faults


def constructed(tree: ast.Module, names: frozenset[str]) -> set[str]:
    """Which of these classes are called by name."""
    return {last for name, _ in calls(tree) if (last := name.rsplit(".", 1)[-1]) in names}
