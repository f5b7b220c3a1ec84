"""The effects of operations on a database, in steps that clients read and write between."""
