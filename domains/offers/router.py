"""REST routes of syncs: uploads, their state and issues, and decisions about them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from domains.offers import schemas, service
from domains.offers.service import upload
from wapsi.clock import now
from wapsi.cursors import encode_cursor, id_in_cursor, number_in_cursor
from wapsi.http.csv_lines import csv_line
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep, IdempotencyKeyMissing
from wapsi.http.paging import CursorParam, Page, PageSize
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.ids import new_id, parse_id
from wapsi.limits.policies import UPLOAD
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

router = APIRouter(prefix="/v1")

_ISSUE_PAGE = 1000


class UploadSettings(BaseModel):
    """How to read the file, where its content does not say it."""

    mode: Literal["full", "incremental"] = "full"
    format: str | None = Field(None, description="Such as google_xml, awin_csv, shopify_csv, jsonl.")
    encoding: str | None = None
    delimiter: str | None = None
    default_currency: str | None = Field(None, description="For prices without one; default: the merchant's.")
    default_availability: str | None = None
    link_base: str | None = Field(None, description="The shop's address, for Shopify exports.")
    map: list[str] = Field([], description="target=source, for columns with names of their own; repeatable.")


@router.post(
    "/merchants/{slug}/syncs",
    tags=["syncs"],
    status_code=202,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422),
    openapi_extra=limited(UPLOAD)
    | {
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_feed(
    slug: str,
    request: Request,
    response: Response,
    runtime: RuntimeDep,
    principal: Annotated[Principal, requires(Permission.SYNCS_WRITE)],
    settings: Annotated[UploadSettings, Query()],
    idempotency_key: Annotated[
        str | None, Header(max_length=100, description="Repeating it answers with the same sync. Required.")
    ] = None,
) -> schemas.Sync:
    """Takes a feed file as the body, in any known format, and queues it. The answer comes before it is read."""
    if not idempotency_key:
        raise IdempotencyKeyMissing("Send an Idempotency-Key header: any unique string, such as a UUID.")
    overrides = settings.model_dump(exclude={"mode", "map"}, exclude_none=True)
    # No transaction is open while the body comes in: a slow sender must not hold a connection.
    async with runtime.db.read() as reading:
        merchant = await service.allowed_merchant(reading, principal, slug)
    new = service.NewSync(
        merchant=slug,
        request_id=idempotency_key,
        mode=service.SyncMode(settings.mode),
        as_of=now(),
        source=request.headers.get("x-file-name", "upload"),
        upload_options=upload.upload_options(merchant, overrides, column_specs=settings.map),
    )
    feed = await upload.receive(request.stream(), limit_bytes=runtime.settings.feed_upload_limit_bytes)
    with feed.file:
        async with runtime.db.write() as session:
            sync, repeated = await upload.start_upload(session, principal, new, feed)
    if repeated:
        response.headers["Idempotency-Replayed"] = "true"
    response.headers["Location"] = f"/v1/syncs/{sync.id}"
    return schemas.Sync.model_validate(sync)


@router.get("/syncs/{id}", tags=["syncs"], responses=problem_responses(401, 403, 404))
async def get_sync(
    # The primary, where the sync was made a moment ago.
    id: str,
    session: WriteDep,
    principal: Annotated[Principal, requires(Permission.SYNCS_READ)],
) -> schemas.Sync:
    return schemas.Sync.model_validate(await service.get_sync(session, principal, parse_id(id, "id")))


@router.get("/merchants/{slug}/syncs", tags=["syncs"], responses=problem_responses(401, 403, 404))
async def list_syncs(
    slug: str,
    session: ReadDep,
    principal: Annotated[Principal, requires(Permission.SYNCS_READ)],
    limit: PageSize = 20,
    cursor: CursorParam = None,
) -> Page[schemas.Sync]:
    """Newest first."""
    name = f"syncs {slug}"
    before = id_in_cursor(name, cursor)
    syncs = await service.list_syncs(session, principal, slug, before=before, limit=limit + 1)
    return Page(
        items=[schemas.Sync.model_validate(sync) for sync in syncs[:limit]],
        next_cursor=encode_cursor(name, syncs[limit - 1].id) if len(syncs) > limit else None,
    )


@router.get(
    "/syncs/{id}/issues",
    tags=["syncs"],
    response_model=Page[schemas.SyncIssue],
    responses={200: {"content": {"text/csv": {}}}, **problem_responses(401, 403, 404)},
)
async def list_sync_issues(
    id: str,
    session: ReadDep,
    runtime: RuntimeDep,
    principal: Annotated[Principal, requires(Permission.SYNCS_READ)],
    limit: PageSize = 100,
    cursor: CursorParam = None,
    accept: Annotated[str, Header()] = "application/json",
) -> Any:
    """A page as JSON, or with `Accept: text/csv` all of them as CSV."""
    sync_id = parse_id(id, "id")
    await service.get_sync(session, principal, sync_id)
    if "text/csv" in accept:
        headers = {"Content-Disposition": f'attachment; filename="sync-{sync_id}-issues.csv"'}
        return StreamingResponse(_issues_as_csv(runtime, sync_id), media_type="text/csv", headers=headers)
    name = f"issues {id}"
    after = number_in_cursor(name, cursor) or 0
    issues = await service.list_issues(session, sync_id, after=after, limit=limit + 1)
    return Page(
        items=[schemas.SyncIssue.model_validate(issue) for issue in issues[:limit]],
        next_cursor=encode_cursor(name, issues[limit - 1].id) if len(issues) > limit else None,
    )


async def _issues_as_csv(runtime: RuntimeDep, sync_id: Any) -> AsyncIterator[str]:
    columns = list(schemas.SyncIssue.model_fields)
    yield csv_line(columns)
    after = 0
    while True:
        async with runtime.db.read() as session:
            issues = await service.list_issues(session, sync_id, after=after, limit=_ISSUE_PAGE)
        for issue in issues:
            yield csv_line([getattr(issue, column) for column in columns])
        if len(issues) < _ISSUE_PAGE:
            return
        after = issues[-1].id


@router.post("/syncs/{id}:approve", tags=["syncs"], responses=problem_responses(401, 403, 404, 409))
async def approve_sync(
    id: str, session: WriteDep, principal: Annotated[Principal, requires(Permission.SYNCS_DECIDE)]
) -> schemas.Sync:
    """Publishes a quarantined sync after all."""
    return schemas.Sync.model_validate(await service.approve_sync(session, principal, parse_id(id, "id")))


@router.post("/syncs/{id}:discard", tags=["syncs"], responses=problem_responses(401, 403, 404, 409))
async def discard_sync(
    id: str, session: WriteDep, principal: Annotated[Principal, requires(Permission.SYNCS_DECIDE)]
) -> schemas.Sync:
    """Gives a quarantined sync up; customers keep seeing the feed before it."""
    return schemas.Sync.model_validate(await service.discard_sync(session, principal, parse_id(id, "id")))


@router.post(
    "/merchants/{slug}/catalogue:rollback",
    tags=["syncs"],
    status_code=202,
    response_model=schemas.Sync,
    responses=problem_responses(400, 401, 403, 404, 409, 422),
)
async def roll_back_catalogue(
    slug: str,
    session: WriteDep,
    idempotency: IdempotencyDep,
    principal: Annotated[Principal, requires(Permission.SYNCS_DECIDE)],
) -> Response:
    """Takes the merchant's last publication back, as a sync of its own; doing it twice restores it.

    What the publication changed or withdrew is as it was before; what it brought is withdrawn.
    """

    async def work() -> schemas.Sync:
        sync = await service.start_rollback(session, principal, slug, request_id=f"rollback-{new_id()}")
        return schemas.Sync.model_validate(sync)

    return await idempotency.answer(work, status=202, location=_location)


def _location(sync: BaseModel) -> str:
    assert isinstance(sync, schemas.Sync)
    return f"/v1/syncs/{sync.id}"
