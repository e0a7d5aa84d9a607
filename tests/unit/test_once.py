"""What a unit asks for often is read once a unit."""

from typing import Any

from shared.once import OnceAUnit


class Held:
    """Something to hold on to: of a unit no more is needed."""


async def test_it_is_read_once_a_unit_and_key_and_anew_once_forgotten() -> None:
    once, reads = OnceAUnit[str, int](), list[str]()
    first: Any = Held()
    second: Any = Held()

    async def asked(unit: Any, key: str) -> int:
        async def read() -> int:
            reads.append(key)
            return len(reads)

        return await once.get(unit, key, read)

    assert [await asked(first, "a"), await asked(first, "a"), await asked(first, "b")] == [1, 1, 2]
    assert await asked(second, "a") == 3
    once.forget(first)
    assert [await asked(first, "a"), await asked(second, "a")] == [4, 3]
    assert reads == ["a", "b", "a", "a"]
