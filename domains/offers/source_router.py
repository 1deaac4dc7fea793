"""REST of feed sources: what operators set, see and start."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from domains.offers.service import source_fetch, sources
from domains.offers.source_schemas import FeedSource, FeedSourceIn
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

admin_router = APIRouter(prefix="/v1/admin", tags=["admin"])

Reader = Annotated[Principal, requires(Permission.BACK_OFFICE)]
Manager = Annotated[Principal, requires(Permission.FEEDS_MANAGE)]


@admin_router.put("/merchants/{slug}/feed-source", responses=problem_responses(401, 403, 404, 409, 422))
async def set_feed_source(
    slug: str, session: WriteDep, runtime: RuntimeDep, principal: Manager, body: FeedSourceIn
) -> FeedSource:
    """Sets where the merchant's feed is fetched from, and when it is late. It is fetched at once, and then on time."""
    fetcher = sources.make_fetcher(runtime.settings)
    source = await sources.set_source(session, principal, runtime.keys, fetcher, slug, body.to_source())
    return FeedSource.model_validate(source)


@admin_router.get("/merchants/{slug}/feed-source", responses=problem_responses(401, 403, 404))
async def get_feed_source(slug: str, session: ReadDep, _principal: Reader) -> FeedSource:
    return FeedSource.model_validate(await sources.get_source(session, slug))


@admin_router.delete("/merchants/{slug}/feed-source", status_code=204, responses=problem_responses(401, 403, 404))
async def remove_feed_source(slug: str, session: WriteDep, principal: Manager) -> Response:
    """Nothing is fetched or missed any more. The merchant's offers stay."""
    await sources.remove_source(session, principal, slug)
    return Response(status_code=204)


@admin_router.post(
    "/merchants/{slug}/feed-source:fetch", status_code=202, responses=problem_responses(401, 403, 404, 409)
)
async def fetch_feed_source(
    slug: str,
    session: WriteDep,
    principal: Manager,
    force: Annotated[bool, Query(description="A file that has not changed becomes a sync as well.")] = False,
) -> FeedSource:
    """Fetches now. While a fetch is under way, repeating it starts no other."""
    return FeedSource.model_validate(await source_fetch.fetch_now(session, principal, slug, force=force))


@admin_router.get("/feed-sources", responses=problem_responses(401, 403, 422))
async def list_feed_sources(
    session: ReadDep,
    _principal: Reader,
    late: Annotated[bool | None, Query(description="true: those whose feed is late; false: the others.")] = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[FeedSource]:
    """Sources, in the order in which their merchants were made."""
    listing = f"feed-sources {late}"
    found = await sources.list_sources(session, late=late, after=id_in_cursor(listing, cursor), limit=limit + 1)
    page, more = split_page(found, limit)
    return Page(
        items=[FeedSource.model_validate(source) for source in page],
        next_cursor=encode_cursor(listing, page[-1].merchant_id) if more else None,
    )
