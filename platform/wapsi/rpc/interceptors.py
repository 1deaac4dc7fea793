"""Interceptors, outermost first: telemetry (OpenTelemetry's), Errors, Authentication."""

import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc.aio import AbortError, ServerInterceptor

from wapsi.errors import DomainError, Invalid
from wapsi.rpc.call_limits import CallLimits
from wapsi.rpc.errors import abort, internal_status, status_of
from wapsi.rpc.refused_keys import RefusedKeys
from wapsi.rpc.service import set_current_principal
from wapsi.rpc.tls import fingerprint_of
from wapsi.security.permissions import Permission
from wapsi.security.principal import Authenticator, bearer_of
from wapsi.telemetry.calls import record_call

log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    # Generic in the stubs only.
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler


class MessageMalformed(Invalid):
    reason = "MESSAGE_MALFORMED"


class Errors(ServerInterceptor):
    """Turns errors into google.rpc.Status. Left alone, grpc.aio would send an exception's text to the client.

    Messages are decoded here and not by grpc.aio, so that one that cannot be is an error like the others.
    """

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Handler | None:
        handler: Handler | None = await continuation(details)
        if handler is None:
            return handler
        method = details.method
        decode = _decoder(handler)
        if handler.response_streaming:

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                started_s = time.perf_counter()
                try:
                    responses = _streaming(handler)(decode(request), context)
                    if inspect.isawaitable(responses):
                        await responses  # the other style, which writes to the context: grpc's own health service
                    else:
                        async for response in responses:
                            yield response
                except Exception as error:
                    await _end(context, method, error)
                finally:
                    _log(method, context, started_s, is_stream=True)

            return _rebuild(handler, stream, decoded=True)

        async def unary(request: Any, context: Any) -> Any:
            started_s = time.perf_counter()
            try:
                return await _unary(handler)(decode(request), context)
            except Exception as error:
                await _end(context, method, error)
            finally:
                _log(method, context, started_s, is_stream=handler.request_streaming)

        return _rebuild(handler, unary, decoded=True)


def _decoder(handler: Any) -> Callable[[Any], Any]:
    """What makes messages of a request's bytes, or of a stream of them. Raises MessageMalformed."""

    def one(raw: bytes) -> Any:
        try:
            return handler.request_deserializer(raw)
        except DecodeError:
            raise MessageMalformed("The message is not what this method takes.") from None

    async def many(stream: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in stream:
            yield one(raw)

    return many if handler.request_streaming else one


async def _end(context: Any, method: str, error: Exception) -> None:
    if isinstance(error, AbortError):
        raise error
    if isinstance(error, DomainError):
        await abort(context, status_of(error))
    if isinstance(error, NotImplementedError) and context.code() is grpc.StatusCode.UNIMPLEMENTED:
        # Of a service that is not ours, such as List of grpc's own health: generated code says it so.
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "This server does not have this method.")
    correlation_id = uuid4().hex
    log.error("rpc_failed", exc_info=error, method=method, correlation_id=correlation_id)
    await abort(context, internal_status(correlation_id))


def _log(method: str, context: Any, started_s: float, *, is_stream: bool) -> None:
    code = context.code()
    name = code.name if isinstance(code, grpc.StatusCode) else "OK"
    duration_s = time.perf_counter() - started_s
    record_call(method, name, duration_s, is_stream=is_stream)
    log.info("rpc", method=method, code=name, latency_ms=round(duration_s * 1000, 1))


class Authentication(ServerInterceptor):
    """Authenticates each call, checks its method's permission and its caller's limits.

    Methods that are not listed are refused.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        permissions: Mapping[str, Permission],
        public: frozenset[str],
        limits: CallLimits,
        refused_keys: RefusedKeys,
    ) -> None:
        self._authenticator = authenticator
        self._permissions = permissions
        self._public = public
        self._limits = limits
        self._refused_keys = refused_keys

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Handler | None:
        handler: Handler | None = await continuation(details)
        if handler is None or details.method.rpartition("/")[0].lstrip("/") in self._public:
            return handler
        permission = self._permissions[details.method]
        metadata = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        authorization = metadata.get("authorization")

        @contextlib.asynccontextmanager
        async def let_in(context: Any) -> AsyncIterator[None]:
            bearer = bearer_of(authorization)
            certificate = fingerprint_of(context.auth_context())
            principal = await self._refused_keys.checked(
                bearer,
                context.peer(),
                metadata,
                lambda: self._authenticator.authenticate(bearer, certificate_sha256=certificate),
            )
            principal.require(permission)
            async with self._limits.call(principal):
                set_current_principal(principal)
                yield

        if handler.response_streaming:

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                async with let_in(context):
                    async for response in _streaming(handler)(request, context):
                        yield response

            return _rebuild(handler, stream)

        async def unary(request: Any, context: Any) -> Any:
            async with let_in(context):
                return await _unary(handler)(request, context)

        return _rebuild(handler, unary)


def _unary(handler: Any) -> Callable[[Any, Any], Awaitable[Any]]:
    behaviour: Callable[[Any, Any], Awaitable[Any]] = handler.stream_unary or handler.unary_unary
    return behaviour


def _streaming(handler: Any) -> Callable[[Any, Any], AsyncIterator[Any]]:
    behaviour: Callable[[Any, Any], AsyncIterator[Any]] = handler.stream_stream or handler.unary_stream
    return behaviour


def _rebuild(handler: Any, behaviour: Callable[[Any, Any], Any], *, decoded: bool = False) -> Handler:
    """The handler with another behaviour; `decoded` where that takes bytes and decodes them itself."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(behaviour, None if decoded else handler.request_deserializer, handler.response_serializer)
