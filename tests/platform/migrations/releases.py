"""What runs in production while the next release is rolled out: its code works on our schema for a while."""

# The last migration of the release before this one, and the commit of its code.
PREVIOUS_REVISION = "0010"
PREVIOUS_COMMIT = "8342aa6baa36"
