"""Every mutant fits the code it is to break."""

from pathlib import Path

import pytest

from tests.chaos.mutants import MUTANTS, Mutant, copy, mutate


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_its_source(mutant: Mutant, tmp_path: Path) -> None:
    copy(tmp_path)
    before = {path: (tmp_path / path).read_text("utf-8") for path, _, _ in mutant.changes}
    mutate(mutant, tmp_path)
    for path, text in before.items():
        changed = (tmp_path / path).read_text("utf-8")
        assert changed != text
        compile(changed, path, "exec")
