"""What can go wrong with merchants, networks and rates."""

from wapsi.errors import Conflict, Invalid, NotFound, PreconditionFailed


class MerchantNotFound(NotFound):
    reason = "MERCHANT_NOT_FOUND"


class MerchantExists(Conflict):
    reason = "MERCHANT_EXISTS"


class MerchantNotReady(PreconditionFailed):
    """An active merchant needs a deep-link template, landing hosts and rates."""

    reason = "MERCHANT_NOT_READY"


class MerchantArchived(PreconditionFailed):
    reason = "MERCHANT_ARCHIVED"


class CurrencyUnknown(Invalid):
    reason = "CURRENCY_UNKNOWN"


class DeepLinkTemplateInvalid(Invalid):
    reason = "DEEP_LINK_TEMPLATE_INVALID"


class LandingHostInvalid(Invalid):
    reason = "LANDING_HOST_INVALID"


class NetworkNotFound(NotFound):
    reason = "NETWORK_NOT_FOUND"


class NetworkExists(Conflict):
    reason = "NETWORK_EXISTS"


class NoRates(NotFound):
    """No rate schedule had begun at the moment in question."""

    reason = "NO_RATES"


class RatesInvalid(Invalid):
    reason = "RATES_INVALID"


class RatesNotLater(PreconditionFailed):
    """A schedule must begin after the latest one does, and not in the past."""

    reason = "RATES_NOT_LATER"


class BoostInvalid(Invalid):
    """A campaign that would raise nothing, or lies in the past."""

    reason = "BOOST_INVALID"


class BoostNotFound(NotFound):
    reason = "BOOST_NOT_FOUND"


class BoostEnded(Conflict):
    reason = "BOOST_ENDED"
