"""Objects: made of stored rows, and what they remember of the database."""
