"""Every kind of job there is: importing the modules registers them."""

import importlib

_MODULES = (
    "wapsi.housekeeping",
    "domains.offers.actors",
    "domains.offers.source_actors",
    "domains.customers.actors",
    "domains.cashback.actors",
)


def import_all() -> None:
    for module in _MODULES:
        importlib.import_module(module)
