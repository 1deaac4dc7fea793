"""Operators: how a source's status words are read, and what another reading would change."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from domains.cashback import service
from domains.cashback.mapping_schemas import (
    DifferenceOut,
    MappingDifferenceOut,
    MappingOut,
    MappingProposalIn,
    MappingProposalOut,
    SaleDifferenceOut,
    UnknownWordOut,
    UnknownWordsOut,
)
from domains.cashback.router.routers import admin_router
from domains.cashback.service import ReplayOutcome
from wapsi.cursors import decode_cursor, encode_cursor, id_in_cursor
from wapsi.db import ReadSession
from wapsi.http.deps import ReadDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

Reader = Annotated[Principal, requires(Permission.CONVERSIONS_READ)]
Decider = Annotated[Principal, requires(Permission.CONVERSIONS_DECIDE)]

_READ = problem_responses(401, 403, 422)
_ONE = problem_responses(401, 403, 404, 422)
_MOVED = problem_responses(401, 403, 404, 409, 422)
_Source = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")]


@admin_router.get("/status-mappings", responses=_READ)
async def list_mappings(
    session: ReadDep, principal: Reader, source: _Source = None, limit: PageSize = 50, cursor: CursorParam = None
) -> Page[MappingOut]:
    """Every version, the newest first; `source` is a network's slug or `direct:` and a merchant's."""
    listing = f"mappings {source}"
    versions = await service.list_mappings(
        session, limit=limit + 1, source=source, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(versions, limit)
    return Page(
        items=[MappingOut.model_validate(version) for version in page],
        next_cursor=encode_cursor(listing, page[-1].id) if more else None,
    )


@admin_router.get("/unknown-words", responses=problem_responses(401, 403))
async def list_unknown_words(session: ReadDep, principal: Reader) -> UnknownWordsOut:
    """Words that no mapping knows, those with the most events first."""
    words = await service.unknown_words(session)
    return UnknownWordsOut(items=[UnknownWordOut.model_validate(word) for word in words])


@admin_router.post(
    "/mapping-proposals",
    status_code=201,
    response_model=MappingProposalOut,
    responses={**_MOVED, **problem_responses(400)},
)
async def propose_mapping(
    session: WriteDep, principal: Decider, idempotency: IdempotencyDep, body: MappingProposalIn
) -> Response:
    """Another mapping for a source. Nothing is read by it before it is applied."""

    async def work() -> MappingProposalOut:
        made = await service.propose_mapping(session, principal, body.source, body.words, body.note)
        return MappingProposalOut.model_validate(made)

    return await idempotency.answer(work)


@admin_router.get("/mapping-proposals", responses=_READ)
async def list_proposals(
    session: ReadDep, principal: Reader, source: _Source = None, limit: PageSize = 50, cursor: CursorParam = None
) -> Page[MappingProposalOut]:
    """The newest first."""
    listing = f"mapping proposals {source}"
    proposals = await service.list_proposals(
        session, limit=limit + 1, source=source, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(proposals, limit)
    return Page(
        items=[MappingProposalOut.model_validate(proposal) for proposal in page],
        next_cursor=encode_cursor(listing, page[-1].id) if more else None,
    )


@admin_router.get("/mapping-proposals/{proposal_id}", responses=_ONE)
async def get_proposal(session: ReadDep, principal: Reader, proposal_id: UUID) -> MappingDifferenceOut:
    """With what applying it changes, as far as its preview has come; once applied, what it has changed."""
    return await _shown(session, await service.get_proposal(session, proposal_id))


@admin_router.get("/mapping-proposals/{proposal_id}/sales", responses=_ONE)
async def list_sales_of_difference(
    session: ReadDep,
    principal: Reader,
    proposal_id: UUID,
    outcome: Annotated[ReplayOutcome | None, Query()] = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[SaleDifferenceOut]:
    """The sales whose events it reads otherwise, by the network's ids of them."""
    await service.get_proposal(session, proposal_id)
    listing = f"sales of mapping {proposal_id} {outcome}"
    key = decode_cursor(listing, cursor, str)
    sales = await service.sales_of_difference(
        session, proposal_id, limit=limit + 1, outcome=outcome, after=None if key is None else key[0]
    )
    page, more = split_page(sales, limit)
    return Page(
        items=[SaleDifferenceOut.model_validate(sale) for sale in page],
        next_cursor=encode_cursor(listing, page[-1].external_id) if more else None,
    )


@admin_router.post("/mapping-proposals/{proposal_id}:preview", status_code=202, responses=_MOVED)
async def preview_mapping(session: WriteDep, principal: Decider, proposal_id: UUID) -> MappingDifferenceOut:
    """Works out, in the background, what applying it would change. Nothing is changed by it."""
    return await _shown(session, await service.preview_mapping(session, principal, proposal_id))


@admin_router.post("/mapping-proposals/{proposal_id}:apply", status_code=202, responses=_MOVED)
async def apply_mapping(session: WriteDep, principal: Decider, proposal_id: UUID) -> MappingDifferenceOut:
    """What comes from now on is read by it; what came before is read anew in the background. Needs a preview."""
    return await _shown(session, await service.apply_mapping(session, principal, proposal_id))


@admin_router.post("/mapping-proposals/{proposal_id}:discard", responses=_MOVED)
async def discard_mapping(session: WriteDep, principal: Decider, proposal_id: UUID) -> MappingDifferenceOut:
    return await _shown(session, await service.discard_mapping(session, principal, proposal_id))


async def _shown(session: ReadSession, proposal: service.ProposalView) -> MappingDifferenceOut:
    found = await service.difference(session, proposal.id)
    return MappingDifferenceOut(
        **MappingProposalOut.model_validate(proposal).model_dump(), difference=DifferenceOut.model_validate(found)
    )
