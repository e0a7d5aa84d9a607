"""Asks the insurer what covers wait for, as shared/sending.py says. Each cover is enrolled and withdrawn once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span

from services.rights import covers, domain
from services.rights.insurance import Enrolment, HttpInsurer, Insurer, Refused, Withdrawal
from services.rights.store import Cover, covers_due, oldest_asking
from shared import clock
from shared.faults import fault_point
from shared.providers import provider_client
from shared.sending import AT_ONCE, LEASE, Retry, send_in_lanes
from shared.service import Runtime
from shared.tasks import end_tasks
from shared.telemetry import METRICS, span_from
from shared.unit import Unit

log = structlog.get_logger()

MEASURE_SECONDS = 5.0

MARK_SECONDS = 0.1
"""A transaction a cover would cost more than asking for it."""


class Sender:
    """`claim` and `ask` are one round. What an answer changes is written with it, in one unit."""

    def __init__(self, runtime: Runtime, insurer: Insurer) -> None:
        self._store, self._tracer, self._insurer = runtime.store, runtime.tracer, insurer

    async def run(self) -> None:
        """Ask for ever."""
        await send_in_lanes(self.claim, self.ask)

    async def claim(self) -> list[Cover]:
        """Take covers of which something should be asked; nobody else takes them before the lease ends."""

        async def take(unit: Unit) -> list[Cover]:
            taken = []
            for cover in await covers_due(unit, AT_ONCE):
                if cover.status == "pending" and unit.now >= cover.period.end:
                    covers.expire(unit, cover)
                if cover.ask is None:
                    continue
                cover.attempts += 1
                cover.due_at = unit.now + LEASE
                unit.save(cover)
                taken.append(cover)
            return taken

        # Most often there is nothing: one question says so, where a transaction would be four.
        if not await covers_due(self._store.reading(), 1):
            return []
        return await self._store.transact(take)

    async def ask(self, claimed: Sequence[Cover]) -> None:
        """Ask side by side; answers are written down together, whatever the rest still waits for."""
        asking = {asyncio.create_task(self._answer(cover)) for cover in claimed}
        try:
            while asking:
                ended, asking = await asyncio.wait(asking, timeout=MARK_SECONDS)
                await self._mark([end for end in (task.result() for task in ended) if end])
        finally:
            await end_tasks(*asking)

    async def _mark(self, ends: Sequence["_End"]) -> None:
        async def mark(unit: Unit) -> None:
            await unit.load(Cover, [end.cover.id for end in ends])
            for end in ends:
                kept = await unit.get(Cover, end.cover.id)
                if kept is None or kept.ask != end.cover.ask:
                    continue  # another process was told already
                if isinstance(end.said, Retry):
                    if kept.attempts == end.cover.attempts:  # else its lease ended, and another process asks now
                        covers.put_off(unit, kept, end.said)
                    continue
                with use_span(end.span):
                    match end.said:
                        case Refused(code=code) if end.cover.ask == "enrol":
                            covers.refuse(unit, kept, code)
                        case Refused(code=code):
                            covers.end(unit, kept, refused_for=code)
                        case str(policy_id):
                            covers.confirm(unit, kept, policy_id)
                        case None:
                            covers.end(unit, kept)

        if ends:
            await self._store.transact(mark)

    async def _answer(self, cover: Cover) -> "_End | None":
        """What the insurer says; None for what nobody foresaw: it falls due with its lease."""
        attributes: dict[str, str | int] = {"rights.ask": str(cover.ask), "rights.attempt": cover.attempts}
        with span_from(self._tracer, f"{cover.ask} cover", cover.trace, SpanKind.CLIENT, attributes) as span:
            said: Retry | Refused | str | None
            try:
                said = await self._hand_over(cover)
                outcome = "taken"
            except Retry as again:
                log.warning("the insurer did not answer", ask=cover.ask, trouble=again.trouble)
                said, outcome = again, again.trouble
            except Refused as refused:
                log.warning("the insurer refused", ask=cover.ask, reason=refused.code, placement_id=cover.id)
                said, outcome = refused, "refused"
            except Exception as error:
                log.error("a cover is left to its lease", placement_id=cover.id, exc_info=error)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                return None
            METRICS.insurer_answers.labels(cover.ask, outcome).inc()
            if outcome != "taken":
                span.set_status(Status(StatusCode.ERROR, outcome))
            fault_point("asked_before_marked", outcome == "taken")
            return _End(cover, span, said)

    async def _hand_over(self, cover: Cover) -> str | None:
        """The policy number of what is enrolled now; None when it is withdrawn. Raises `Retry` and `Refused`."""
        reference = domain.cover_reference(cover.provider, cover.id)
        if cover.ask == "withdraw":
            # A cover that was never withdrawn was of no use from its beginning: nobody could start.
            at = cover.withdrawn_at or cover.period.start
            gone = Withdrawal(reference=reference, policy_id=cover.policy_id or "", at=at)
            await self._insurer.withdraw(gone, domain.asking_key("withdraw", reference))
            return None
        enrolment = Enrolment(
            reference=reference,
            worker_id=cover.parties.worker_id,
            employer_id=cover.parties.employer_id,
            district=cover.parties.district,
            occupation=cover.occupation,
            covers=cover.period,
        )
        return await self._insurer.enrol(enrolment, domain.asking_key("enrol", reference))


@dataclass(frozen=True)
class _End:
    """What came of one try; None of a withdrawal that was taken. The trace goes on from `span`."""

    cover: Cover
    span: Span
    said: Retry | Refused | str | None


async def ask_forever(runtime: Runtime) -> None:
    """Ends at once where there is no insurer."""
    if not covers.has_insurer():
        return
    async with provider_client() as client:
        await Sender(runtime, HttpInsurer(runtime.settings.insurer_url, client)).run()


async def measure_forever(runtime: Runtime) -> None:
    """Show how long the insurer has owed us an answer. Every replica shows the same: take the greatest."""
    while True:
        since = await oldest_asking(runtime.store.reading())
        waited = (clock.now() - since).total_seconds() if since else 0.0
        METRICS.insurer_owes.labels(runtime.service.name).set(max(0.0, waited))
        await asyncio.sleep(MEASURE_SECONDS)
