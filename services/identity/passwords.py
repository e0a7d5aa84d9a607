"""Passwords and client secrets: argon2id (RFC 9106, second recommended parameters), beside the event loop."""

import asyncio
import secrets
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from shared.store import Contended

AT_ONCE = 2
"""Each takes 64 MiB for a moment: more at once would let strangers fill the memory."""

WAITING_AT_MOST = 60

T = TypeVar("T")


class Passwords:
    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_hex())

    async def hash(self, secret: str) -> str:
        return await self._in_turn(self._hasher.hash, secret)

    async def right(self, kept: str | None, secret: str) -> bool:
        """Whether this is the secret whose hash was kept. As slow where there is none, so that time tells nothing."""
        try:
            await self._in_turn(self._hasher.verify, kept or self._nobodys, secret)
        except VerificationError:
            return False
        return kept is not None

    async def _in_turn(self, work: Callable[..., T], *args: str) -> T:
        """Run it in a thread. Raises `Contended` when too many wait already."""
        if self._waiting >= WAITING_AT_MOST:
            raise Contended("too many passwords to check")
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *args)
        finally:
            self._waiting -= 1
