"""Who may import whom: .importlinter, run through import-linter, and shown to notice each kind of break."""

import copy
import sys
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter import api
from importlinter.application.use_cases import lint_imports
from importlinter.domain.contract import registry

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / ".importlinter")
OPTIONS = api.read_configuration(CONFIG)
CONTRACTS: dict[str, dict[str, Any]] = {options["id"]: options for options in OPTIONS["contracts_options"]}


def test_imports_keep_the_borders() -> None:
    assert lint_imports(CONFIG, cache_dir=None, no_logo=True), "run `lint-imports`: it says which import, and why"


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    names = OPTIONS["session_options"]["root_packages"]
    return grimp.build_graph(*names, include_external_packages=True, cache_dir=None)


def kept(contract: str, graph: grimp.ImportGraph) -> bool:
    options = CONTRACTS[contract]
    checked = registry.get_contract_class(options["type"])(options["name"], OPTIONS["session_options"], options)
    return bool(checked.check(copy.deepcopy(graph), verbose=False).kept)


PLANTED = [
    ("services", "services.posting.handlers", "services.matching.store"),
    ("shape", "services.posting.store", "services.posting.handlers"),
    ("shape", "services.posting.domain", "services.posting.store"),
    ("shape", "services.posting.api", "services.posting.handlers"),
    ("shape", "services.posting.handlers", "services.posting.app"),
    ("shape", "services.posting.app", "services.posting.helpers"),
    ("domain", "services.posting.domain", "pymongo"),
    ("domain", "services.matching.engine", "time"),
    ("domain", "services.workers.domain", "shared.unit"),
    ("kafka", "services.notify.sender", "aiokafka"),
    ("kafka", "services.matching.handlers", "faststream"),
    ("kafka", "clients.city.market", "aiokafka"),
    ("kafka", "ops.reconcile", "aiokafka"),
    ("shared", "shared.delivery", "services.matching.domain"),
    ("shared", "shared.auth", "clients.web.app"),
    ("ops", "services.matching.app", "ops.reconcile"),
    ("ops", "shared.service", "ops.fuse"),
    ("ops-clients", "ops.reconcile", "clients.web.app"),
    ("contracts", "shared.contracts.posting", "shared.unit"),
    ("contracts", "shared.contracts.terms", "pymongo"),
    ("clients", "clients.web.app", "services.matching.store"),
    ("clients", "clients.city.market", "shared.store"),
    ("city", "clients.city.client", "shared.settings"),
    ("city", "clients.city.market", "clients.web.app"),
]


@pytest.mark.parametrize(("contract", "importer", "imported"), PLANTED)
def test_a_planted_import_is_noticed(contract: str, importer: str, imported: str, graph: grimp.ImportGraph) -> None:
    assert importer in graph.modules
    assert kept(contract, graph)
    planted = copy.deepcopy(graph)
    if imported not in planted.modules:
        planted.add_module(imported)
    planted.add_import(importer=importer, imported=imported, line_number=1, line_contents="planted")
    assert not kept(contract, planted)


def test_every_contract_has_a_planted_case() -> None:
    assert {contract for contract, _, _ in PLANTED} == set(CONTRACTS)


def test_contracts_need_nothing_but_pydantic(graph: grimp.ImportGraph) -> None:
    """So another agency can take the folder as it is."""
    assert foreign(graph) == {"pydantic", "pydantic_core"}  # one library in two packages
    graph = copy.deepcopy(graph)
    graph.add_import(importer="shared.contracts.terms", imported="h3", line_number=1, line_contents="planted")
    assert foreign(graph) == {"pydantic", "pydantic_core", "h3"}


def foreign(graph: grimp.ImportGraph) -> set[str]:
    modules = {"shared.contracts", *graph.find_descendants("shared.contracts")}
    imported = {found for module in modules for found in graph.find_modules_directly_imported_by(module)}
    return imported - modules - sys.stdlib_module_names
