"""Domain errors as google.rpc.Status: the code from the one table in wapsi.errors, with ErrorInfo and BadRequest."""

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from wapsi.errors import DomainError

ERROR_DOMAIN = "wapsi"


def status_of(error: DomainError) -> status_pb2.Status:
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)]
    packed = [_pack(detail) for detail in details]
    if error.violations:
        packed.append(
            _pack(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
                        for v in error.violations
                    ]
                )
            )
        )
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        packed.append(_pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=retry_after_s))))
    return status_pb2.Status(code=code_pb2.Code.Value(error.category.grpc_code), message=error.message, details=packed)


def internal_status(correlation_id: str) -> status_pb2.Status:
    """For anything unexpected: no word of what it was leaves the process."""
    info = error_details_pb2.ErrorInfo(
        reason="INTERNAL", domain=ERROR_DOMAIN, metadata={"correlation_id": correlation_id}
    )
    message = f"Something went wrong on our side. Quote {correlation_id} when you report it."
    return status_pb2.Status(code=code_pb2.INTERNAL, message=message, details=[_pack(info)])


async def abort(context: "grpc.aio.ServicerContext[object, object]", status: status_pb2.Status) -> None:
    """Ends the call. Always raises."""
    grpc_status = rpc_status.to_status(status)
    await context.abort(grpc_status.code, grpc_status.details, grpc_status.trailing_metadata)


def reason_of(error: grpc.aio.AioRpcError) -> str | None:
    """For clients: the stable reason behind a failed call, None where the server named none."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has what is read of a Call
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return None


def retry_after_of(error: grpc.aio.AioRpcError) -> float | None:
    """For clients: in so many seconds the server wants the call again, None where it does not say."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # as above
    for detail in status.details if status is not None else ():
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return None


def _pack(message: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)  # type: ignore[arg-type]  # every generated message has Pack's type
    return packed
