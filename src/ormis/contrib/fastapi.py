"""ormis in a FastAPI application: the connection, errors as answers, pages.

    app = FastAPI(lifespan=lifespan("redis://localhost"), responses=RESPONSES)
    install(app)

What a client may send and what it gets are `ormis.body()` and `ormis.view()`.
"""

import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import ormis

try:
    from fastapi import FastAPI, Query, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
except ModuleNotFoundError as error:
    raise ImportError('ormis.contrib.fastapi needs FastAPI: pip install "ormis[fastapi]"') from error

__all__ = ["RESPONSES", "PageParams", "PageView", "Refusal", "install", "lifespan"]

T = TypeVar("T")

_PLACE = re.compile(r"(\w+)(?:\.(\w+)| has no .*?'(\w+)')?")
"""The beginning of a message: `Stall.rent__gte=...`, or `Stall has no field or relation 'rents'`."""


# The connection -------------------------------------------------------------------------------------------------------


def lifespan(
    url: str | PathLike[str] | None = None, **options: Any
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan of an application: it connects when the application starts and closes the connections at its end.

    url, options: the arguments of `ormis.connect()`; without a URL $ORMIS_URL, which is read at the start.

        app = FastAPI(lifespan=lifespan("redis://localhost", cache=10_000))
    """

    @asynccontextmanager
    async def connected(_: FastAPI) -> AsyncGenerator[None]:
        async with ormis.connect(url, **options):
            yield

    return connected


# Errors ---------------------------------------------------------------------------------------------------------------


class Refusal(BaseModel):
    """The body of the answers 404 and 409."""

    detail: str = Field(description="What is refused and why", examples=["Tag with name='new' exists already: tag:1"])
    model: str | None = Field(description="The model of the object, or of the one that refers to it")
    field: str | None = Field(description="The field whose value is refused, if it is one")


RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"model": Refusal, "description": "There is no such object"},
    409: {"model": Refusal, "description": "The stored data, or another change of it, stands in the way"},
}
"""The answers that `install()` adds, for OpenAPI: `FastAPI(responses=RESPONSES)`, or those of a router or route."""


def install(app: FastAPI) -> None:
    """Makes answers of the errors of ormis that functions of the application raise.

    - 404: `DoesNotExist`
    - 409: `IntegrityError` (a unique value that is taken, a key that points at nothing, a deletion that other objects
      stand in the way of) and `ConflictError`; the body of both is a `Refusal`.
    - 422: pydantic's `ValidationError`, if it is of an ormis model, and `FieldError`, a value of a query that does not
      convert or a field that is not there. The body is that of FastAPI, a list of `loc`, `msg` and `type`; `loc` is
      the model and the field, or the name in the query.

    All others are errors of the application: 500.
    """
    app.add_exception_handler(ormis.DoesNotExist, _missing)
    app.add_exception_handler(ormis.IntegrityError, _refused)
    app.add_exception_handler(ormis.ConflictError, _refused)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(ormis.FieldError, _unusable)


async def _missing(_: Request, error: Exception) -> JSONResponse:
    parts = type(error).__qualname__.split(".")  # Question.DoesNotExist
    return _refusal(404, error, parts[-2] if len(parts) > 1 else None)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    model, field = getattr(error, "model", ""), getattr(error, "field", "")
    return _refusal(409, error, _name_of(model) or model, field)


def _refusal(status: int, error: Exception, model: str | None, field: str | None = None) -> JSONResponse:
    body = Refusal(detail=str(error), model=model or None, field=field or None)
    return JSONResponse(body.model_dump(), status)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ValidationError)
    model = _name_of(error.title)
    if model is None:
        raise error  # of the application's own data: the client is not to blame
    lines = error.errors(include_url=False, include_context=False, include_input=False)
    return _unprocessable([{**line, "loc": [model, *line["loc"]]} for line in lines])


async def _unusable(_: Request, error: Exception) -> JSONResponse:
    place = _PLACE.match(str(error))
    model = _name_of(place[1]) if place else None
    loc = [name for name in (model, place[2] or place[3]) if name] if place and model else []
    return _unprocessable([{"type": "field_error", "loc": loc, "msg": str(error)}])


def _unprocessable(lines: list[dict[str, Any]]) -> JSONResponse:
    return JSONResponse({"detail": lines}, 422)


def _name_of(called: str) -> str | None:
    """The name of the model that an error calls by its name, by its title, as pydantic does, or by its key."""
    for model in _models(ormis.Model):
        if called and called in (model.__name__, model.model_config.get("title"), model.__key__):
            return model.__name__
    return None


def _models(base: type[ormis.Model]) -> Iterator[type[ormis.Model]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


# Pages ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PageParams:
    """The parameters of a page in the query of a request, a dependency: `page: Annotated[PageParams, Depends()]`.

    A subclass, a dataclass too, may have another size and limit:
    `size: Annotated[int, Query(ge=1, le=1000)] = 50`.
    """

    size: Annotated[int, Query(ge=1, le=100, description="How many objects the page has")] = 20
    after: Annotated[str | None, Query(description="The token `next` of the page before")] = None
    before: Annotated[str | None, Query(description="The token `previous` of the page behind")] = None

    def page(self, objects: "ormis.QuerySet[T] | ormis.Manager[T]") -> ormis.Page[T]:
        """The page of a queryset. Raises RequestValidationError, the answer 422, for tokens that are not of it.

        Calls: as those of `QuerySet.page()`, one where an index has the order.
        """
        self._check()
        try:
            return objects.page(self.size, after=self.after, before=self.before)
        except ormis.PageTokenError as error:
            raise self._refused(str(error)) from None

    async def apage(self, objects: "ormis.QuerySet[T] | ormis.Manager[T]") -> ormis.Page[T]:
        """As page(), in async code."""
        self._check()
        try:
            return await objects.apage(self.size, after=self.after, before=self.before)
        except ormis.PageTokenError as error:
            raise self._refused(str(error)) from None

    def _check(self) -> None:
        if self.after is not None and self.before is not None:
            raise self._refused("give `after` or `before`, not both")

    def _refused(self, message: str) -> RequestValidationError:
        name = "after" if self.before is None else "before"
        return RequestValidationError([{"type": "page_token", "loc": ("query", name), "msg": message}])


class PageView(BaseModel, Generic[T]):
    """A page in a response: `response_model=PageView[QuestionView]`, of the `Page` that the function returns."""

    model_config = ConfigDict(from_attributes=True)

    objects: list[T]
    next: str | None = Field(description="The token of the next page: `?after=...`; null on the last one")
    previous: str | None = Field(description="The token of the page before: `?before=...`; null on the first one")
