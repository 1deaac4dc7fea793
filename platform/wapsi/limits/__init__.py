"""Rate limits: how much of something one caller may have in a while. docs/limits.md has the table."""

from wapsi.limits.errors import RateLimited
from wapsi.limits.policies import POLICIES, Policy
from wapsi.limits.rate_limits import RateLimits, Verdict
from wapsi.limits.settings import LimitSettings, get_limit_settings

__all__ = ["POLICIES", "LimitSettings", "Policy", "RateLimited", "RateLimits", "Verdict", "get_limit_settings"]
