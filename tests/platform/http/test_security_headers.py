"""What browsers are told of every answer."""

import asyncio

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from wapsi.config import Environment, Settings
from wapsi.http.deps import PublicDep
from wapsi.http.etags import PUBLIC
from wapsi.runtime import Runtime

SECURE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    router = APIRouter(dependencies=[PublicDep])

    @router.get("/v1/test/silent")
    async def silent() -> str:
        return "about caches"

    @router.get("/v1/test/public")
    async def public() -> Response:
        return Response("page", headers={"Cache-Control": PUBLIC})

    @router.get("/v1/test/crash")
    async def crash() -> None:
        raise RuntimeError("boom")

    app.include_router(router)
    return app


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/test/silent", 200), ("/nowhere", 404), ("/v1/me", 401), ("/v1/test/crash", 500), ("/healthz", 200)],
)
async def test_every_answer_has_them_and_is_kept_by_nobody(api: httpx2.AsyncClient, path: str, status: int) -> None:
    answer = await api.get(path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in SECURE} == SECURE
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


async def test_what_may_be_cached_says_so_itself(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/v1/test/public")).headers["cache-control"] == PUBLIC


async def test_a_page_out_of_the_cache_has_them_too(api: httpx2.AsyncClient, runtime: Runtime) -> None:
    async with runtime.versions.polling():
        answers = [await api.get("/v1/merchants") for _ in range(2)]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURE} == SECURE
        assert answer.headers["cache-control"] == PUBLIC


async def test_browsers_are_bound_to_https_in_production_alone(api: httpx2.AsyncClient) -> None:
    assert "strict-transport-security" not in (await api.get("/healthz")).headers


async def test_the_pages_may_load_their_scripts_and_stand_in_no_frame(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/docs")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net;" in policy
    assert "frame-ancestors 'none'" in policy


class TestInProduction:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(
            update={"environment": Environment.PRODUCTION, "public_url": "https://cashback.example"}
        )

    async def test_browsers_are_bound_to_https(self, api: httpx2.AsyncClient) -> None:
        for path in ("/healthz", "/nowhere"):
            header = (await api.get(path)).headers["strict-transport-security"]
            assert header == "max-age=63072000; includeSubDomains"

    async def test_the_pages_are_off_and_the_description_is_not(self, api: httpx2.AsyncClient, app: FastAPI) -> None:
        await asyncio.to_thread(app.openapi)
        assert (await api.get("/docs")).status_code == 404
        assert (await api.get("/redoc")).status_code == 404
        assert (await api.get("/openapi.json")).status_code == 200
