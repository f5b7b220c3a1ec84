"""Random programs on ormis beside the same programs on Django: `python -m beside_django --help`.

schema.py says which models there are; ormis_side.py and django_side.py declare them and run programs on them;
rows.py, programs.py and writes.py make random rows and programs; compare.py runs both and tells where they differ.
"""
