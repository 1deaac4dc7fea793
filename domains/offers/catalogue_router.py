"""REST of the catalogue: what anyone may read. All of it is cached (see wapsi.http.cache)."""

from fastapi import APIRouter, Request, Response

from domains.offers import schemas, service
from wapsi.cursors import decode_cursor, encode_cursor
from wapsi.http.cache import CACHED
from wapsi.http.deps import PublicDep, get_runtime
from wapsi.http.direct_routes import ReadRoute
from wapsi.http.etags import NOT_MODIFIED, answer_with_etag, encode
from wapsi.http.problems import problem_responses
from wapsi.http.queries import query_parameters, read_query
from wapsi.ids import parse_id

router = APIRouter(prefix="/v1", route_class=ReadRoute)


@router.get(
    "/offers",
    tags=["offers"],
    response_model=schemas.OfferPage,
    dependencies=[PublicDep],
    responses={**NOT_MODIFIED, **problem_responses(404, 422)},
    openapi_extra={**CACHED, **query_parameters(schemas.ListingQuery)},
)
async def list_offers(request: Request) -> Response:
    """Offers that can be bought now. `sort=relevance` without `q` lists the newest first.

    The newest, of all or of one merchant, are listed as soon as they are published; searches, filters and other orders
    follow within seconds.
    """
    runtime, query = get_runtime(request), read_query(request, schemas.ListingQuery)
    wanted, sort = query.wanted(), query.sort
    name = f"offers {sort} {wanted}"
    listing = await service.list_offers(
        runtime.db.reads,
        runtime.versions,
        wanted,
        sort=sort,
        after=decode_cursor(name, query.cursor, *service.key_kinds(wanted, sort)),
        limit=query.limit,
    )
    next_cursor = encode_cursor(name, *listing.next_key) if listing.next_key else None
    page = {"items": listing.offers, "next_cursor": next_cursor, "relaxed": listing.relaxed}
    return answer_with_etag(request, encode(page), public=True)


@router.get(
    "/offers/facets",
    tags=["offers"],
    response_model=schemas.Facets,
    dependencies=[PublicDep],
    responses={**NOT_MODIFIED, **problem_responses(404, 422)},
    openapi_extra={**CACHED, **query_parameters(schemas.OfferQuery)},
)
async def show_facets(request: Request) -> Response:
    """How the offers of a search or a filter spread over merchants, brands, categories, availability and prices.

    Of many offers only a sample is counted: `complete` is false then.
    """
    runtime, query = get_runtime(request), read_query(request, schemas.OfferQuery)
    counts = await service.count_facets(runtime.db.reads, runtime.versions, query.wanted())
    return answer_with_etag(request, encode(counts), public=True)


@router.get(
    "/suggestions",
    tags=["offers"],
    response_model=schemas.Suggestions,
    dependencies=[PublicDep],
    responses={**NOT_MODIFIED, **problem_responses(422)},
    openapi_extra={**CACHED, **query_parameters(schemas.SuggestionsQuery)},
)
async def suggest(request: Request) -> Response:
    """What may be meant: merchants, brands, categories and words of titles."""
    query = read_query(request, schemas.SuggestionsQuery)
    found = await service.suggest(get_runtime(request).db.reads, query.q, query.limit)
    return answer_with_etag(request, encode({"suggestions": found}), public=True)


@router.get(
    "/offers/{id}",
    tags=["offers"],
    response_model=schemas.Offer,
    dependencies=[PublicDep],
    responses={**NOT_MODIFIED, **problem_responses(404, 422)},
    openapi_extra=CACHED,
)
async def show_offer(request: Request, id: str) -> Response:
    runtime = get_runtime(request)
    offer = await service.show_offer(runtime.db.reads, runtime.versions, parse_id(id, "id"))
    return answer_with_etag(request, encode(offer), public=True)


@router.get(
    "/offers/{id}/price-history",
    tags=["offers"],
    response_model=schemas.PriceHistory,
    dependencies=[PublicDep],
    responses={**NOT_MODIFIED, **problem_responses(404, 422)},
    openapi_extra=CACHED,
)
async def price_history(request: Request, id: str) -> Response:
    runtime = get_runtime(request)
    prices = await service.price_history(runtime.db.reads, runtime.versions, parse_id(id, "id"))
    return answer_with_etag(request, encode({"prices": prices}), public=True)
