"""Every error answer is an RFC 9457 problem with a stable reason, and tells no more than it should."""

from collections.abc import Callable
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, SecretStr, field_validator
from structlog.testing import capture_logs

from wapsi.errors import Category, DomainError, FieldViolation
from wapsi.http.deps import requires
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

Serve = Callable[..., httpx2.AsyncClient]
PASSWORD = "correct horse battery"
router = APIRouter()


class NewAccount(BaseModel):
    email: str
    password: SecretStr
    age: int

    @field_validator("password")
    @classmethod
    def _must_be_long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 100:
            raise ValueError("must have at least 100 characters")
        return value


@router.get("/fail/{category}")
async def fail(category: str) -> None:
    kind = type("Failed", (DomainError,), {"category": Category[category], "reason": "IT_FAILED"})
    raise kind("It failed, and here is why.", violations=[FieldViolation("a.b", "is odd")], merchant="daraz", n=7)


@router.post("/accounts")
async def accounts(_new: NewAccount) -> None: ...


@router.get("/crash")
async def crash() -> None:
    raise RuntimeError(f"the password is {PASSWORD}")


@router.get("/numbers/{number}")
async def numbers(number: int, limit: int = 1) -> int:
    return number * limit


@router.get("/conversions")
async def conversions(principal: Annotated[Principal, requires(Permission.CONVERSIONS_READ)]) -> str:
    return str(principal)


@pytest.fixture
def api(serve: Serve) -> httpx2.AsyncClient:
    return serve(router)


@pytest.mark.parametrize("category", Category, ids=lambda category: category.name)
async def test_a_domain_error_of_each_category_is_its_row_of_the_table(
    api: httpx2.AsyncClient, category: Category
) -> None:
    answer = await api.get(f"/fail/{category.name}", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == category.http_status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": category.title,
        "status": category.http_status,
        "detail": "It failed, and here is why.",
        "reason": "IT_FAILED",
        "request_id": "r-1",
        "metadata": {"merchant": "daraz", "n": "7"},
        "violations": [{"field": "a.b", "description": "is odd"}],
    }
    assert answer.headers.get("www-authenticate") == ("Bearer" if category is Category.UNAUTHENTICATED else None)
    may_retry = category in (Category.UNAVAILABLE, Category.EXHAUSTED)
    assert answer.headers.get("retry-after") == ("1" if may_retry else None)


def test_the_table_holds_the_statuses_and_codes_that_were_agreed() -> None:
    assert {category.name: (category.http_status, category.grpc_code) for category in Category} == {
        "INVALID": (422, "INVALID_ARGUMENT"),
        "MISSING_HEADER": (400, "INVALID_ARGUMENT"),
        "UNAUTHENTICATED": (401, "UNAUTHENTICATED"),
        "PERMISSION_DENIED": (403, "PERMISSION_DENIED"),
        "NOT_FOUND": (404, "NOT_FOUND"),
        "CONFLICT": (409, "ALREADY_EXISTS"),
        "PRECONDITION": (409, "FAILED_PRECONDITION"),
        "ABORTED": (409, "ABORTED"),
        "DATA_LOSS": (422, "DATA_LOSS"),
        "OUT_OF_RANGE": (416, "OUT_OF_RANGE"),
        "TOO_LARGE": (413, "RESOURCE_EXHAUSTED"),
        "EXHAUSTED": (429, "RESOURCE_EXHAUSTED"),
        "UNAVAILABLE": (503, "UNAVAILABLE"),
    }


async def test_an_unknown_route_is_a_problem(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/nowhere")
    assert (answer.status_code, answer.json()["reason"]) == (404, "ROUTE_NOT_FOUND")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_method_is_a_problem_that_says_which_are_right(api: httpx2.AsyncClient) -> None:
    answer = await api.delete("/accounts")
    assert (answer.status_code, answer.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


async def test_the_right_methods_are_those_of_every_route_with_this_path(serve: Serve) -> None:
    router = APIRouter()
    router.add_api_route("/things/{name}", accounts, methods=["POST"])
    router.add_api_route("/things/{name}", crash, methods=["GET"])
    answer = await serve(router).delete("/things/one")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_an_invalid_body_is_said_field_by_field_and_never_repeated(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/accounts", json={"email": "asma@example.com", "password": PASSWORD, "age": "secret-age"})
    assert (answer.status_code, answer.json()["reason"]) == (422, "REQUEST_INVALID")
    assert {violation["field"] for violation in answer.json()["violations"]} == {"body.password", "body.age"}
    for private in (PASSWORD, "secret-age", "asma@example.com"):
        assert private not in answer.text


async def test_invalid_parameters_name_their_place(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/numbers/many", params={"limit": "all"})
    assert answer.status_code == 422
    assert [violation["field"] for violation in answer.json()["violations"]] == ["path.number", "query.limit"]


@pytest.mark.parametrize("body", [b"{not json", b"", b"[]", b'{"email": "\xff"}', b'{"age": NaN}', b"[" * 1500])
async def test_a_body_that_is_not_what_was_asked_for_is_the_callers_fault(api: httpx2.AsyncClient, body: bytes) -> None:
    answer = await api.post("/accounts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unexpected_exception_says_only_where_to_ask(api: httpx2.AsyncClient) -> None:
    with capture_logs() as logs:
        answer = await api.get("/crash", headers={"X-Request-ID": "r-2"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "INTERNAL"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r-2"
    assert PASSWORD not in answer.text
    assert "RuntimeError" not in answer.text
    failed = [line for line in logs if line["event"] == "request_failed"]
    assert len(failed) == 1, "the exception must be in the log, once"
    assert isinstance(failed[0]["exc_info"], RuntimeError)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "CREDENTIALS_MISSING"),
        ("", "CREDENTIALS_MISSING"),
        ("Bearer", "CREDENTIALS_MISSING"),
        ("Bearer   ", "CREDENTIALS_MISSING"),
        ("Basic YWRtaW46YWRtaW4=", "CREDENTIALS_MISSING"),
        ("Bearer nobody", "CREDENTIALS_INVALID"),
    ],
)
async def test_without_good_credentials_the_answer_is_401(
    api: httpx2.AsyncClient, header: str | None, reason: str
) -> None:
    answer = await api.get("/conversions", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.json()["reason"]) == (401, reason)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_without_the_permission_the_answer_is_403_and_names_it(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/conversions", headers={"Authorization": "Bearer asma"})
    assert (answer.status_code, answer.json()["reason"]) == (403, "PERMISSION_MISSING")
    assert answer.json()["metadata"] == {"permission": "conversions:read"}
    assert "www-authenticate" not in answer.headers


async def test_with_the_permission_the_principal_arrives(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/conversions", headers={"Authorization": "bearer admin"})
    assert (answer.status_code, answer.json()) == (200, "operator:00000000-0000-0000-0000-000000000004")
