"""An event as it comes through a door, and who may bring it."""

from dataclasses import dataclass, field

from domains.cashback.errors import NetworkNotReportable
from domains.cashback.service.events import SaleEvent
from domains.cashback.states import Door
from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.db import ReadSession
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.telemetry.setup import current_trace_id


@dataclass(slots=True)
class Report:
    """An event as it came through a door. `event` is None, and `fault` says why, where it could not be read.

    `principal` is the producer that reports over gRPC, limited to its merchants; a network's own signature stands
    for all merchants of the network.
    """

    external_event_id: str
    door: Door
    raw: bytes
    actor: str
    event: SaleEvent | None
    fault: str = ""
    principal: Principal | None = None
    trace_id: str | None = field(default_factory=current_trace_id)


async def check_reporter(session: ReadSession, principal: Principal, network: str) -> None:
    """A producer reports for the one network it belongs to, or for its direct merchants without any.

    Raises NetworkNotReportable and NetworkNotFound.
    """
    if principal.kind is not PrincipalKind.PRODUCER or not network:
        return
    producer = await customers.get_producer(session, principal.id)
    if producer.network_id != (await merchants.get_network(session, network)).id:
        raise NetworkNotReportable(f"You may not report for {network}.", network=network)
