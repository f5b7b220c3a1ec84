"""The polls as an API, with FastAPI.

    make demo-api        or, in examples/: python -m fastapi_polls

`models.py` declares what is stored, `schemas.py` what a client sends and gets, `api.py` the routes. `test_polls_api.py`
tests it with the pytest plugin of ormis.
"""
