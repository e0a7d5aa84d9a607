"""Sends the codes that wait, outside every transaction, until the provider has them or they are of no more use."""

import asyncio
from datetime import timedelta

import httpx
import structlog

from services.identity.domain import CODE_LIFE
from services.identity.store import Code, Outgoing, codes_to_send
from shared import clock
from shared.sealed import Sealer
from shared.service import Runtime
from shared.store import Store
from shared.unit import Unit

log = structlog.get_logger()

AT_ONCE = 20
IDLE_SECONDS = 0.2
TIMEOUT_SECONDS = 5.0
LATER_SECONDS = (6, 8, 12, 20, 30)
"""From one try to the next: more than the time-out, so that no other process sends meanwhile."""

WORTH_ANOTHER_TRY = frozenset({408, 425, 429})

TEXT = {
    "zh": "【快招】验证码 {code}，{minutes} 分钟内有效，请勿告诉他人。",
    "en": "[Kuaizhao] {code} is your code, good for {minutes} minutes. Tell it to nobody.",
}


class Sender:
    """Hands codes to the SMS provider by HTTP: POST {"to", "text", "idempotency_key"}; 2xx means that it has it."""

    def __init__(self, store: Store, sealer: Sealer, client: httpx.AsyncClient, url: str) -> None:
        self._store, self._sealer, self._client, self._url = store, sealer, client, url

    async def send_due(self) -> int:
        """Send what is due now; returns how many were looked at."""
        due = await self._store.reading().find(
            Code, codes_to_send(clock.now()), sort=[("outgoing.due_at", 1)], limit=AT_ONCE
        )
        await asyncio.gather(*(self._send(code.id) for code in due))
        return len(due)

    async def _send(self, phone_index: str) -> None:
        async def take(unit: Unit) -> tuple[str, Outgoing] | None:
            code = await unit.get(Code, phone_index)
            if code is None or code.outgoing is None or code.outgoing.due_at > unit.now:
                return None  # another process has it
            if unit.now >= code.expires_at:
                code.outgoing = None
                unit.save(code)
                log.warning("a code expired before the SMS provider took it")
                return None
            later = LATER_SECONDS[min(code.outgoing.tries, len(LATER_SECONDS) - 1)]
            code.outgoing.tries += 1
            code.outgoing.due_at = unit.now + timedelta(seconds=later)
            unit.save(code)
            return code.salt, code.outgoing

        async def forget(unit: Unit) -> None:
            code = await unit.get(Code, phone_index)
            if code is not None and code.salt == salt:
                code.outgoing = None
                unit.save(code)

        taken = await self._store.transact(take)
        if taken is None:
            return
        salt, outgoing = taken
        if await self._posted(salt, outgoing):
            await self._store.transact(forget)

    async def _posted(self, salt: str, outgoing: Outgoing) -> bool:
        """Ask the provider once. True when there is nothing left to do: it has the message, or will never take it."""
        code = self._sealer.open(outgoing.code, subject=salt, field="code")
        message = {
            "to": self._sealer.open(outgoing.phone, subject=salt, field="phone"),
            "text": TEXT[outgoing.language].format(code=code, minutes=int(CODE_LIFE.total_seconds() // 60)),
            "idempotency_key": salt,
        }
        try:
            answer = await self._client.post(self._url, json=message)
        except httpx.HTTPError as error:
            log.warning("the SMS provider does not answer, will try again", error=type(error).__name__)
            return False
        if answer.is_success:
            return True
        again = answer.is_server_error or answer.status_code in WORTH_ANOTHER_TRY
        log.warning("the SMS provider did not take a code", status=answer.status_code, again=again)
        return not again


async def send_forever(runtime: Runtime) -> None:
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        sender = Sender(runtime.store, runtime.sealer, client, runtime.settings.sms_url)
        while True:
            if not await sender.send_due():
                await asyncio.sleep(IDLE_SECONDS)
