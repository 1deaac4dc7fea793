"""The gRPC server with the services of all domains."""

from domains.cashback import rpc as cashback
from domains.merchants import rpc as merchants
from domains.offers import rpc as offers
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime


def make_rpc_server(runtime: Runtime) -> RPCServer:
    """Raises UndeclaredMethod when a method names no permission."""
    return RPCServer(
        runtime,
        [merchants.rpc_service(runtime), offers.rpc_service(runtime), cashback.rpc_service(runtime)],
    )
