"""From what a query says to a plan: data, made without a server."""
