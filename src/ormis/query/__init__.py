"""What can be said in a query: pure values."""
