"""What a claim about a placement can be shown with: agreement, cover, shift, timesheet, pay, its cases' history."""

from typing import Any

from services.rights import proofs
from services.rights.domain import iso
from services.rights.store import Agreement, Case, Cover, Payment, Shift, Timesheet
from shared.evidence import chained
from shared.sealed import PersonalSealer
from shared.unit import Document, Unit

FORM = "kuaizhao-evidence/1"

ASKING = ("ask", "due_at", "asked_since", "attempts", "trouble", "trace")
"""Of a cover: how the insurer is being asked. What it said is in the rest."""

Entry = tuple[str, str | None, dict[str, Any]]


async def pack(unit: Unit, agreement: Agreement, sealer: PersonalSealer) -> dict[str, Any]:
    """All that is known of a placement as one file of chained entries (`shared/evidence.py`), sealed by this service.

    The shift has how its start was proven and what was not taken as a proof; the timesheet what the employer disputed
    and what came of it. It holds what people said in their own words, opened: for the worker, and clerks.
    """
    id = agreement.id
    entries: list[Entry] = [
        (
            "agreement",
            iso(agreement.made_at),
            {
                "document": agreement.text.decode(),
                "document_sha256": agreement.sha256,
                "void_at": iso(agreement.void_at),
                "void_by": agreement.void_by,
            },
        )
    ]
    if cover := await unit.get(Cover, id):
        entries.append(("cover", iso(agreement.made_at), _facts(cover, *ASKING)))
    if shift := await unit.get(Shift, id):
        proof = shift.proof.model_dump() | {"note": await proofs.note_of(shift, sealer)}
        entries.append(("shift", iso(shift.ended_at or shift.started_at), _facts(shift, "proof") | {"proof": proof}))
    if sheet := await unit.get(Timesheet, id):
        at = sheet.settled_at or sheet.answered_at or sheet.ended_at
        entries.append(("timesheet", iso(at), _facts(sheet, "note", "grounds") | await sheet_words(sheet, sealer)))
    if pay := await unit.get(Payment, id):
        entries.append(("pay", iso(pay.due_at), _facts(pay) | {"status": pay.status}))
    for case in await unit.find(Case, {"placement_id": id}, sort=[("_id", 1)]):
        entries += await _case(case, sealer)
    parties = agreement.parties.model_dump()
    file = chained({"form": FORM, "placement_id": id, "made_at": iso(unit.now), **parties}, entries)
    return file | {"seal": sealer.blind(file["head_sha256"], field="evidence")}


async def _case(case: Case, sealer: PersonalSealer) -> list[Entry]:
    said = await case_text(case, case.text, sealer)
    opened: dict[str, Any] = {"receipt": case.receipt, "kind": case.kind, "by": case.opened_by, "what_happened": said}
    limits = [limit.model_dump(mode="json") for limit in case.limits]
    return [
        ("case", iso(case.opened_at), opened | {"state": case.state, "outcome": case.outcome, "limits": limits}),
        *[
            (
                "case-step",
                iso(step.at),
                {"receipt": case.receipt, "what": step.what, "by": step.by, "detail": step.detail}
                | {"note": await case_text(case, step.note, sealer)},
            )
            for step in case.history
        ],
    ]


async def case_text(case: Case, sealed: bytes | None, sealer: PersonalSealer) -> str | None:
    """What a case's worker or a clerk wrote, opened."""
    return await sealer.opened(sealed, of=case.worker_id, field="case")


async def sheet_words(sheet: Timesheet, sealer: PersonalSealer) -> dict[str, str | None]:
    """What the employer wrote to its dispute of a timesheet, and a clerk to the decision, opened."""
    worker = sheet.parties.worker_id
    return {
        "note": await sealer.opened(sheet.note, of=worker, field="dispute_note"),
        "grounds": await sealer.opened(sheet.grounds, of=worker, field="grounds"),
    }


def _facts(document: Document, *without: str) -> dict[str, Any]:
    facts: dict[str, Any] = document.model_dump(mode="json", exclude={"id", "version", "parties", *without})
    return facts
