"""Payouts that are held, and the two people whom it takes to let one go.

One operator alone moves no money out: the first release is an approval, and the second, by somebody else, releases.
"""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from domains.cashback.errors import SecondPersonNeeded
from domains.cashback.models import PayoutApprovalRow, PayoutRow
from domains.cashback.service import history
from domains.cashback.service.history import Cause
from domains.cashback.service.payouts import (
    APPROVALS_NEEDED,
    SEND_PAYOUT,
    PayoutView,
    approvals_of,
    move_payout,
    not_found,
    view,
)
from domains.cashback.states import PAYOUT_STATES, Entity, PayoutState
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.queue import outbox
from wapsi.security import audit
from wapsi.security.principal import Principal

_P = PayoutState


async def hold_payout(session: WriteSession, principal: Principal, payout_id: UUID, reason_code: str) -> PayoutView:
    """Keeps a payout from being sent. Where it is held already, the approvals that it has do not count any more.

    Raises PayoutNotFound and IllegalMove.
    """
    row = await _locked(session, payout_id)
    before = {"state": row.state, "reason_code": row.reason_code, "approvals": await _approved_by(session, row)}
    move_payout(session, row, _P.HELD, Cause(str(principal), reason_code))
    await session.flush()
    after = {"state": row.state, "reason_code": reason_code, "approvals": []}
    await audit.record(
        session, principal, action="payout.held", target=f"payout:{payout_id}", before=before, after=after
    )
    return view(row)


async def release_payout(session: WriteSession, principal: Principal, payout_id: UUID, reason_code: str) -> PayoutView:
    """The first operator's word approves a held payout; that of a second one lets it be sent.

    Raises PayoutNotFound, IllegalMove, and SecondPersonNeeded where the first comes again.
    """
    row = await _locked(session, payout_id)
    PAYOUT_STATES.check(_P(row.state), _P.REQUESTED)
    before = {"state": row.state, "reason_code": row.reason_code, "approvals": await _approved_by(session, row)}
    # The lock on the payout lets approvals through one by one.
    added = await session.scalar(
        insert(PayoutApprovalRow)
        .values(
            id=new_id(),
            payout_id=payout_id,
            round=row.approval_round,
            operator_id=principal.id,
            reason_code=reason_code,
            at=now(),
        )
        .on_conflict_do_nothing(constraint="uq_payout_approvals_payout_id_round_operator_id")
        .returning(PayoutApprovalRow.id)
    )
    if added is None:
        raise SecondPersonNeeded(
            "You have approved this payout already. Another operator who may decide on payouts must release it.",
            payout_id=str(payout_id),
        )
    approvals = (await approvals_of(session, [row])).get(row.id, ())
    approved_by = [str(approval.operator_id) for approval in approvals]
    cause = Cause(str(principal), reason_code)
    if len(approvals) < APPROVALS_NEEDED:
        history.record(session, Entity.PAYOUT, row.id, _P.HELD, _P.HELD, cause)
        action = "payout.approved"
    else:
        move_payout(session, row, _P.REQUESTED, cause)
        action = "payout.released"
    await session.flush()
    after = {"state": row.state, "reason_code": reason_code, "approvals": approved_by}
    await audit.record(session, principal, action=action, target=f"payout:{payout_id}", before=before, after=after)
    if row.state == _P.REQUESTED:
        await outbox.enqueue(session, SEND_PAYOUT, {"payout_id": str(row.id)})
    return view(row, approvals if row.state == _P.HELD else ())


async def _approved_by(session: WriteSession, row: PayoutRow) -> list[str]:
    return [str(approval.operator_id) for approval in (await approvals_of(session, [row])).get(row.id, ())]


async def _locked(session: WriteSession, payout_id: UUID) -> PayoutRow:
    row = await session.get_locked(PayoutRow, payout_id)
    if row is None:
        raise not_found(payout_id)
    return row
