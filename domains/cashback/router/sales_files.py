"""Operators: files of sales, what became of them, and of each of their rows."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from domains.cashback import service
from domains.cashback.router.adapters import NetworkSlug
from domains.cashback.router.door_shapes import FileLineOut, SalesFileOut
from domains.cashback.router.routers import admin_router
from domains.cashback.service import EventOutcome
from domains.merchants import service as merchants
from wapsi.cursors import encode_cursor, id_in_cursor, number_in_cursor
from wapsi.db.errors import TextInvalid
from wapsi.http.csv_lines import csv_line
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.idempotency import checked_key
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import UPLOAD
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

Reader = Annotated[Principal, requires(Permission.CONVERSIONS_READ)]
Uploader = Annotated[Principal, requires(Permission.CONVERSIONS_DECIDE)]

_LINES_PAGE = 1000


@admin_router.post(
    "/networks/{slug}/sales-files",
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
async def upload_sales_file(
    slug: NetworkSlug,
    request: Request,
    response: Response,
    runtime: RuntimeDep,
    principal: Uploader,
    format: Annotated[
        Literal["csv", "jsonl"] | None,
        Query(description="UTF-8: a table with a header, or JSON Lines; default: as X-File-Name ends."),
    ] = None,
    idempotency_key: Annotated[
        str | None, Header(max_length=100, description="Repeating it answers with the same upload. Required.")
    ] = None,
) -> SalesFileOut:
    """Takes a file of sales as the body, and queues it. Its rows are read by the network's adapter or by its mapping of
    files; one that came before, in this file or another, changes nothing."""
    key = checked_key(idempotency_key)
    name = request.headers.get("x-file-name", "upload")[:200]
    if "\0" in key + name:
        raise TextInvalid("No text may have a NUL character. Leave it out.")
    # No transaction is open while the body comes in: a slow sender must not hold a connection.
    async with runtime.db.read() as reading:
        await merchants.get_network(reading, slug)
    received = await service.receive_file(request.stream())
    with received.file:
        async with runtime.db.write() as session:
            new = service.NewFile(key, name, format or service.format_of(name))
            file, repeated = await service.add_file(session, principal, slug, new, received)
    if repeated:
        response.headers["Idempotency-Replayed"] = "true"
    response.headers["Location"] = f"/v1/admin/sales-files/{file.id}"
    return SalesFileOut.model_validate(file)


@admin_router.get("/networks/{slug}/sales-files", responses=problem_responses(401, 403, 404, 422))
async def list_sales_files(
    slug: NetworkSlug, session: ReadDep, _principal: Reader, limit: PageSize = 20, cursor: CursorParam = None
) -> Page[SalesFileOut]:
    """The newest first."""
    listing = f"sales files {slug}"
    found = await service.list_files(session, slug, limit=limit + 1, before=id_in_cursor(listing, cursor))
    page, more = split_page(found, limit)
    return Page(
        items=[SalesFileOut.model_validate(file) for file in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@admin_router.get("/sales-files/{file_id}", responses=problem_responses(401, 403, 404, 422))
async def get_sales_file(
    # The primary, where the file was stored a moment ago.
    file_id: UUID,
    session: WriteDep,
    _principal: Reader,
) -> SalesFileOut:
    return SalesFileOut.model_validate(await service.get_file(session, file_id))


@admin_router.get(
    "/sales-files/{file_id}/lines",
    response_model=Page[FileLineOut],
    responses={200: {"content": {"text/csv": {}}}, **problem_responses(401, 403, 404, 422)},
)
async def list_sales_file_lines(
    file_id: UUID,
    session: ReadDep,
    runtime: RuntimeDep,
    _principal: Reader,
    outcome: Annotated[EventOutcome | None, Query()] = None,
    limit: PageSize = 100,
    cursor: CursorParam = None,
    accept: Annotated[str, Header()] = "application/json",
) -> Any:
    """What became of each row: a page as JSON, or with `Accept: text/csv` all of them as CSV."""
    await service.get_file(session, file_id)
    if "text/csv" in accept:
        headers = {"Content-Disposition": f'attachment; filename="sales-file-{file_id}.csv"'}
        return StreamingResponse(_as_csv(runtime, file_id, outcome), media_type="text/csv", headers=headers)
    listing = f"lines {file_id} {outcome}"
    after = number_in_cursor(listing, cursor) or 0
    found = await service.list_lines(session, file_id, limit=limit + 1, after=after, outcome=outcome)
    page, more = split_page(found, limit)
    return Page(
        items=[FileLineOut.model_validate(line) for line in page],
        next_cursor=encode_cursor(listing, page[-1].line) if more else None,
    )


async def _as_csv(runtime: Runtime, file_id: UUID, outcome: EventOutcome | None) -> AsyncIterator[str]:
    columns = list(FileLineOut.model_fields)
    yield csv_line(columns)
    after = 0
    while True:
        async with runtime.db.read() as session:
            lines = await service.list_lines(session, file_id, limit=_LINES_PAGE, after=after, outcome=outcome)
        for line in lines:
            yield csv_line([getattr(line, column) for column in columns])
        if len(lines) < _LINES_PAGE:
            return
        after = lines[-1].line
