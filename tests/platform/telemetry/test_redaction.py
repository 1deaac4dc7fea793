"""Nothing personal leaves in what is exported, whoever put it there."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from wapsi.telemetry import redaction
from wapsi.telemetry.log_records import LogRecords
from wapsi.telemetry.redaction import REDACTED, Redacting, clean, safe_path
from wapsi.telemetry.setup import Telemetry

CANARIES = [
    "asma.khan+offers@example.com",
    "asma%40example.com",
    "+92 300 1234567",
    "0300-1234567",
    "PK36SCBL0000001123456702",
    "PK36 SCBL 0000 0011 2345 6702",
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("words", ["{}", "no account {} here", "/v1/customers/{}/orders", "({})"])
def test_what_looks_personal_is_put_out(canary: str, words: str) -> None:
    assert canary not in clean(words.format(canary))


@given(st.from_regex(redaction._OURS, fullmatch=True))
def test_what_is_told_by_a_look_is_what_the_patterns_would_leave(value: str) -> None:
    assert redaction._PERSONAL.sub(REDACTED, value) == value
    assert clean(value) == value


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("/r/t0ken", f"/r/{REDACTED}"),
        ("/r/t0ken/more\n", f"/r/{REDACTED}"),
        ("/v1/postbacks/cj/t0ken", f"/v1/postbacks/cj/{REDACTED}"),
        ("/v1/postbacks/cj/t0ken/", f"/v1/postbacks/cj/{REDACTED}"),
        ("/v1/postbacks/cj", "/v1/postbacks/cj"),
        ("//v1/postbacks/cj/t0ken", f"//v1/postbacks/cj/{REDACTED}"),
        ("/api/v1/postbacks/cj/t0ken", f"/api/v1/postbacks/cj/{REDACTED}"),
        ("/v1/offers", "/v1/offers"),
    ],
)
def test_tokens_in_paths_are_put_out(path: str, safe: str) -> None:
    assert safe_path(path) == safe


@pytest.mark.parametrize("secret", ["token=s3cret", "Bearer s3cret", "password: s3cret"])
def test_named_secrets_are_put_out(secret: str) -> None:
    assert "s3cret" not in clean(f"refused: {secret}, sorry")


@pytest.mark.parametrize(
    "value",
    [
        "/v1/offers/01a22a4b-5c58-7080-989c-f3d2c374c4f0",
        "wapsi.rpc.offers.v1.OfferSyncService/PushOffers",
        "0af7651916cd43dd8448eb211c80319c",
        "2026-11-30T02:31:51.640735Z",
        "GET /v1/merchants/{slug}/rates",
        "PKR 12,500.00",
    ],
)
def test_what_is_not_stays(value: str) -> None:
    assert clean(value) == value


ROW = """IntegrityError: <class 'asyncpg.exceptions.CheckViolationError'>: new row violates check "a"
DETAIL:  Failing row contains (1, Kanarie Gelb,
schnabel, $argon2id$v=19).
[SQL: UPDATE customers SET locale=$1]"""


@pytest.mark.parametrize("text", [ROW, repr(ROW), ROW.partition("[SQL")[0]], ids=["as it is", "repr", "at the end"])
def test_the_row_that_broke_a_constraint_is_put_out(text: str) -> None:
    left = clean(text)
    assert "Kanarie" not in left
    assert "schnabel" not in left
    assert "argon2id" not in left
    assert 'violates check "a"' in left
    assert ("UPDATE customers" in left) == ("UPDATE customers" in text)


def test_spans_leave_without_it() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry("test", extra_processors=(SimpleSpanProcessor(Redacting(exporter)),))
    with telemetry.tracers.get_tracer("test").start_as_current_span(f"mail to {CANARIES[0]}") as span:
        for number, canary in enumerate(CANARIES):
            span.set_attribute(f"attribute.{number}", canary)
            span.set_attribute(f"attributes.{number}", [canary])
            span.add_event("event", {"value": canary})
        span.record_exception(ValueError(f"no account {CANARIES[0]}"))
        span.set_attribute("http.route", "/v1/offers/{id}")
    [left] = exporter.get_finished_spans()
    for canary in CANARIES:
        assert canary not in left.to_json()
    assert (left.attributes or {})["http.route"] == "/v1/offers/{id}"
    assert left.context == span.get_span_context()
    telemetry.shutdown()


@pytest.fixture
def records() -> Iterator[tuple[logging.Logger, Callable[[], list[logs_pb2.LogRecord]]]]:
    """A logger whose records are sent, and those that were when it ends."""
    sent: list[bytes] = []
    handler = LogRecords(Resource.create({"service.name": "wapsi"}), sent.append)
    logger = logging.getLogger("wapsi.test.records")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)

    def ended() -> list[logs_pb2.LogRecord]:
        handler.shutdown()
        found = []
        for request in map(ExportLogsServiceRequest.FromString, sent):
            for logs in request.resource_logs:
                assert "wapsi" in {item.value.string_value for item in logs.resource.attributes}
                for scope in logs.scope_logs:
                    assert scope.scope.name == "wapsi.test.records"
                    found += scope.log_records
        return found

    yield logger, ended
    logger.removeHandler(handler)


def structured(logger: logging.Logger) -> Any:
    return structlog.wrap_logger(
        logger,
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def values_of(record: logs_pb2.LogRecord) -> dict[str, Any]:
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in record.attributes}


def test_log_records_leave_without_it_and_with_the_event_as_their_name(records: Any) -> None:
    logger, ended = records
    structured(logger).info("payout_sent", amount_minor=24995, destination=CANARIES[4], paid=True, share=0.5)
    logger.warning("as libraries log, of %s", CANARIES[0])
    ours, library = ended()
    assert (ours.event_name, ours.body.string_value) == ("payout_sent", "payout_sent")
    assert values_of(ours) == {"amount_minor": 24995, "destination": "REDACTED", "paid": True, "share": 0.5}
    assert library.body.string_value == "as libraries log, of REDACTED"
    assert (library.event_name, library.severity_text, library.severity_number) == ("", "WARNING", 13)


def test_log_records_name_the_span_in_which_they_were_made(records: Any) -> None:
    logger, ended = records
    telemetry = Telemetry("test")
    with telemetry.tracers.get_tracer("test").start_as_current_span("work") as span:
        structured(logger).info("inside")
    structured(logger).info("outside")
    inside, outside = ended()
    context = span.get_span_context()
    assert int.from_bytes(inside.trace_id, "big") == context.trace_id
    assert int.from_bytes(inside.span_id, "big") == context.span_id
    assert inside.flags == context.trace_flags
    assert (outside.trace_id, outside.span_id) == (b"", b"")
    telemetry.shutdown()


def test_log_records_hold_whatever_is_logged(records: Any) -> None:
    """One that could not be encoded would take all of its batch with it."""
    logger, ended = records
    changing = [1]
    structured(logger).info("odd", large=2**70, half="a\ud800", none=None, several=changing)
    changing.append(2)
    [record] = ended()
    assert values_of(record) == {"large": str(2**70), "half": "a?", "none": "None", "several": "[1]"}
