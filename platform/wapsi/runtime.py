"""What every process has: made once by a composition root, handed to routers, servicers and actors."""

from dataclasses import dataclass

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.db.versions import Versions
from wapsi.limits import RateLimits
from wapsi.personal_data import PersonalData
from wapsi.security.principal import Authenticator
from wapsi.security.signing import Keys


@dataclass(frozen=True, slots=True)
class Runtime:
    settings: Settings
    db: Database
    versions: Versions
    keys: Keys
    authenticator: Authenticator
    limits: RateLimits
    personal_data: PersonalData
