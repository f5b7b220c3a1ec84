"""Objects to files and back: dump(), load(), the formats."""
