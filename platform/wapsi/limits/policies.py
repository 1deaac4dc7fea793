"""The one table of quotas. Each can be changed: WAPSI_RATE_LIMIT_<NAME>="600/60" is 600 in 60 seconds.

Many customers of one mobile network share an address, so what is counted by address alone is generous, and whatever can
be counted by a person, a device or a key is counted by that.
"""

from dataclasses import dataclass

# A block is a fiftieth of a quota: what a process took and did not use is lost to the caller, and so is no more.
BLOCKS = 50


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `quota` in any `window_s` seconds, of what `per` says in words."""

    name: str
    quota: int
    window_s: int
    per: str = ""

    @property
    def block(self) -> int:
        """How many a process takes at once, so that most hits cost no round trip; low quotas are counted exactly."""
        return max(1, self.quota // BLOCKS)


ADDRESS = Policy("address", 6000, 60, "address: every request")
CUSTOMER = Policy("customer", 600, 60, "customer: every request with their token")
OPERATOR = Policy("operator", 1200, 60, "operator: every request with their token")
PRODUCER = Policy("producer", 1200, 60, "producer: every REST request with its key")

SIGN_UP = Policy("sign_up", 60, 3600, "address: sign-ups")
RESET = Policy("reset", 60, 3600, "address: password resets asked for")
# What is guessed at has a limit of its own beside this (five attempts a code).
CODE = Policy("code", 120, 3600, "address: codes tried")
SIGN_IN_ADDRESS = Policy("sign_in_address", 300, 600, "address: sign-ins tried")
# Two windows make delays that grow: a minute after a few mistakes, an hour after many.
SIGN_IN = Policy("sign_in", 5, 60, "account and address, or account and known device: sign-ins that failed")
SIGN_IN_HOUR = Policy("sign_in_hour", 20, 3600, "the same, over an hour")
SECOND_FACTOR = Policy("second_factor", 10, 600, "account: second factors tried")
# Ten at a time are 1440 a day, of which each tries three half minutes: one of 230 who know a password would get in.
SECOND_FACTOR_DAY = Policy("second_factor_day", 50, 86400, "account and its password: second factors tried")
REFRESH = Policy("refresh", 600, 60, "address: sessions refreshed")
PASSWORD = Policy("password", 10, 3600, "customer or operator: changes that ask for the password")

CLICK = Policy("click", 120, 60, "customer: clicks")
PAYOUT = Policy("payout", 20, 3600, "customer: payouts asked for")
EXPORT = Policy("export", 10, 86400, "customer: exports of their data")
UPLOAD = Policy("upload", 600, 3600, "producer or operator: feed files")
POSTBACK = Policy("postback", 3000, 60, "network and address: postbacks")
PRODUCER_CALL = Policy("producer_call", 1200, 60, "producer key: gRPC calls")
REFUSED_KEY = Policy("refused_key", 60, 60, "address: gRPC calls with a key that is refused")

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        ADDRESS,
        CUSTOMER,
        OPERATOR,
        PRODUCER,
        SIGN_UP,
        RESET,
        CODE,
        SIGN_IN_ADDRESS,
        SIGN_IN,
        SIGN_IN_HOUR,
        SECOND_FACTOR,
        SECOND_FACTOR_DAY,
        REFRESH,
        PASSWORD,
        CLICK,
        PAYOUT,
        EXPORT,
        UPLOAD,
        POSTBACK,
        PRODUCER_CALL,
        REFUSED_KEY,
    )
}
