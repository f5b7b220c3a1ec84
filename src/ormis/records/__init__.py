"""Objects made of stored rows, and their persistence state."""
