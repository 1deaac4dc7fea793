"""What the tests of second factors share."""

from tests.domains.customers.second_factors.people import asma, desk

__all__ = ["asma", "desk"]
