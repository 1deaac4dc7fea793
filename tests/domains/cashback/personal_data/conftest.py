"""What the tests of personal data share."""

from tests.domains.cashback.personal_data.leaving import busy

__all__ = ["busy"]
