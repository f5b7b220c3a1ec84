"""The parts of a query: conditions, expressions, lookups, state. Pure values."""
