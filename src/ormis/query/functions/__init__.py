"""Functions of fields and other expressions, under Django's names; `ormis.functions` makes them public."""
