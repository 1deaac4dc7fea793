"""REST shapes of the customers domain."""
