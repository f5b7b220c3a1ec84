"""The admin as an application of its own, for `ormis admin`: on this machine, for whoever uses it."""

import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

import ormis

from .admin import Admin

try:
    import uvicorn
except ModuleNotFoundError as error:
    raise ImportError('ormis.contrib.admin.serving needs uvicorn: pip install "ormis[admin]"') from error

HOST = "127.0.0.1"


def application(models: Iterable[Any], database: ormis.Database) -> Starlette:
    """The pages of these models at the root of an application, which answers to the names of this machine only.

    Another site whose name leads to this machine is refused.
    """

    @asynccontextmanager
    async def closing(_: Starlette) -> AsyncGenerator[None]:
        async with database:
            yield

    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    app = Starlette(lifespan=closing, middleware=[trusted])
    Admin(models, database=database, secret_key=secrets.token_hex(32)).mount_to(app)
    return app


def serve(models: Iterable[Any], database: ormis.Database, port: int) -> None:
    """Serves the pages until Ctrl-C."""
    uvicorn.run(application(models, database), host=HOST, port=port, log_level="warning")
