"""What the tests of signing up share."""

from tests.domains.customers.sign_up.steps import ask, verify

__all__ = ["ask", "verify"]
