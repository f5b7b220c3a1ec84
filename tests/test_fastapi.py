"""ormis.contrib.fastapi: errors as answers, pages, the lifespan, in applications that use sync and async functions."""

import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict

import ormis
from modes import MODES, do
from ormis import PROTECT, RESTRICT, F, Field, ForeignKey, OneToOne, Related, UniqueConstraint
from ormis.contrib.fastapi import RESPONSES, PageParams, PageView, Refusal, install, lifespan


class Stall(ormis.Model):
    """A place at a market."""

    model_config = ConfigDict(title="A stall")

    name: str = Field(unique=True, max_length=10)
    rent: int = Field(default=0, ge=0, index=True)
    goods: Related["Ware"] = Related()


class Ware(ormis.Model):
    stall: ForeignKey[Stall] = ForeignKey(on_delete=PROTECT, related_name="goods")
    name: str

    class Meta:
        constraints = [UniqueConstraint("stall", "name")]


class Permit(ormis.Model):
    stall: OneToOne[Stall] = OneToOne(on_delete=RESTRICT, related_name="permit")


class Abstract(ormis.Model):
    class Meta:
        abstract = True


class OwnData(BaseModel):
    number: int


class StallView(ormis.view(Stall)):  # type: ignore[misc]
    """A stall in a response."""


@dataclass(frozen=True)
class SmallPage(PageParams):
    size: Annotated[int, Query(ge=1, le=3)] = 2


def conflict() -> None:
    stall = Stall.get(1)
    Stall.objects.update(rent=5)
    stall.rent = 6
    stall.save(if_unchanged=True)


def assign() -> None:
    Stall.get(1).rent = -1


REFUSED: dict[str, tuple[Callable[[], Any], int, str | None, str | None]] = {
    "get": (lambda: Stall.get(7), 404, "Stall", None),
    "query": (lambda: Ware.objects.get(name="x"), 404, "Ware", None),
    "reverse": (lambda: Stall.get(1).permit, 404, "Permit", None),
    "plain": (lambda: missing(), 404, None, None),
    "plainer": (lambda: plainly(), 409, None, None),
    "unique": (lambda: Stall(name="Fish").save(), 409, "Stall", "name"),
    "constraint": (lambda: Ware(stall=1, name="Cod").save(), 409, "Ware", "stall_id,name"),
    "key": (lambda: Ware(stall=9, name="Cod").save(), 409, "Ware", "stall_id"),
    "unsaved": (lambda: Stall(name="New").permit, 409, "Stall", "permit"),
    "protected": (lambda: Stall.get(1).delete(), 409, "Ware", "stall_id"),
    "conflict": (conflict, 409, "Stall", "rent"),
    "result": (lambda: Stall.objects.update(rent=F("rent") - 10), 409, "Stall", "rent"),
}
INVALID: dict[str, tuple[Callable[[], Any], list[Any], str]] = {
    "made": (lambda: Stall(name="far too long"), ["Stall", "name"], "at most 10 characters"),
    "assigned": (assign, ["Stall", "rent"], "greater than or equal to 0"),
    "updated": (lambda: Stall.objects.update(rent=-1), ["Stall", "rent"], "greater than or equal to 0"),
    "converted": (
        lambda: list(Stall.objects.filter(rent="x")),
        ["Stall", "rent"],
        "Stall.rent='x' does not convert to int",
    ),
    "looked up": (
        lambda: list(Ware.objects.filter(stall__rent__gte="x")),
        ["Ware", "stall__rent__gte"],
        "does not convert to int",
    ),
    "unknown": (
        lambda: list(Stall.objects.order_by("rend")),
        ["Stall", "rend"],
        "Stall has no field or relation 'rend'",
    ),
    "token": (lambda: Stall.objects.order_by("rent").page(2, after="x"), ["Stall"], "Stall: the token 'x' is damaged"),
}
OWN: dict[str, Callable[[], Any]] = {
    "data": lambda: OwnData.model_validate({"number": "x"}),
    "many": lambda: Stall.objects.get(),
}


def missing() -> None:
    raise ormis.DoesNotExist("there is nothing")


def plainly() -> None:
    raise ormis.IntegrityError("there is something")


def application() -> FastAPI:
    app = FastAPI(responses=RESPONSES)
    install(app)
    calls = {name: case[0] for name, case in (REFUSED | INVALID).items()} | OWN

    @app.post("/sync/{name}")
    def call(name: str) -> None:
        calls[name]()

    @app.post("/async/{name}")
    async def call_async(name: str) -> None:
        calls[name]()

    @app.get("/sync", response_model=PageView[StallView])
    def show(page: Annotated[PageParams, Depends()]) -> Any:
        return page.page(Stall.objects.order_by("rent"))

    @app.get("/async", response_model=PageView[StallView])
    async def show_async(page: Annotated[SmallPage, Depends()]) -> Any:
        return await page.apage(Stall.objects.order_by("rent"))

    @app.get("/all", response_model=PageView[StallView])
    async def show_all(page: Annotated[PageParams, Depends()]) -> Any:
        return await page.apage(Stall.objects)

    return app


@pytest.fixture
def web(db: ormis.Database) -> TestClient:
    return TestClient(application())


@pytest.fixture
def stalls(db: ormis.Database) -> None:
    stall = Stall(name="Fish").save()
    Ware(stall=stall, name="Cod").save()


@MODES
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(web: TestClient, stalls: None, name: str, mode: str) -> None:
    """404 and 409, with model and field in the body."""
    _, status, model, field = REFUSED[name]
    answer = web.post(f"/{mode}/{name}")
    body = answer.json()
    assert (answer.status_code, body.pop("model"), body.pop("field")) == (status, model, field)
    assert body["detail"]
    assert body.keys() == {"detail"}


def test_a_deletion_that_is_restricted(web: TestClient, db: ormis.Database) -> None:
    """409, and nothing is deleted."""
    Permit(stall=Stall(name="Bread").save()).save()
    answer = web.post("/sync/protected")
    assert (answer.status_code, answer.json()["field"]) == (409, "stall_id")
    assert Stall.objects.count() == 1


@pytest.mark.parametrize("name", INVALID)
def test_what_is_invalid(web: TestClient, stalls: None, name: str) -> None:
    """422, as FastAPI answers; no value of the object is repeated but in a message."""
    _, loc, message = INVALID[name]
    answer = web.post(f"/sync/{name}")
    (line,) = answer.json()["detail"]
    assert (answer.status_code, line["loc"]) == (422, loc)
    assert message in line["msg"]
    assert line.keys() == {"loc", "msg", "type"}


@pytest.mark.parametrize("name", OWN)
def test_what_the_application_does_wrong(web: TestClient, stalls: None, name: str) -> None:
    """Other errors are 500, and reach the log."""
    Stall(name="Bread").save()
    with pytest.raises((ValueError, ormis.OrmisError)):
        web.post(f"/sync/{name}")
    quiet = TestClient(web.app, raise_server_exceptions=False)
    assert quiet.post(f"/sync/{name}").status_code == 500


def test_pages(web: TestClient, db: ormis.Database) -> None:
    """Tokens lead forth and back; the size has limits, which a subclass sets."""
    Stall.objects.bulk_create([Stall(name=f"{n}", rent=n) for n in range(30)])
    first = web.get("/sync").json()
    assert [stall["rent"] for stall in first["objects"]] == [*range(20)]
    assert first["previous"] is None
    second = web.get("/sync", params={"after": first["next"]}).json()
    assert [stall["rent"] for stall in second["objects"]] == [*range(20, 30)]
    assert second["next"] is None
    assert web.get("/sync", params={"before": second["previous"]}).json()["objects"] == first["objects"]
    small = web.get("/async").json()
    assert small["objects"] == first["objects"][:2]
    assert web.get("/async", params={"after": small["next"], "size": 1}).json()["objects"] == first["objects"][2:3]
    assert len(web.get("/all", params={"size": 100}).json()["objects"]) == 30
    for path, size in [("/sync", 0), ("/sync", 101), ("/async", 4)]:
        answer = web.get(path, params={"size": size})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "size"])


@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_tokens_that_are_wrong(web: TestClient, stalls: None, path: str) -> None:
    """422 that names the parameter."""
    for params, name in [
        ({"after": "x"}, "after"),
        ({"before": "x"}, "before"),
        ({"before": "x", "after": "x"}, "before"),
    ]:
        answer = web.get(path, params=params)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", name])


def test_openapi() -> None:
    """The answers, the parameters and the pages have their place in the schema."""
    shown = application().openapi()
    route = shown["paths"]["/sync"]["get"]
    assert [parameter["name"] for parameter in route["parameters"]] == ["size", "after", "before"]
    assert route["parameters"][0]["schema"] == {
        "type": "integer",
        "maximum": 100,
        "minimum": 1,
        "default": 20,
        "title": "Size",
        "description": "How many objects the page has",
    }
    for status in ("404", "409"):
        content = route["responses"][status]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{Refusal.__name__}"}
    page = shown["components"]["schemas"]["PageView_StallView_"]["properties"]
    assert page["objects"]["items"] == {"$ref": "#/components/schemas/StallView"}


@pytest.mark.single_server("connect(cache=) is not there yet on a cluster")
def test_the_lifespan(url: str, raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects at the start, with the arguments of connect() or to $ORMIS_URL, and closes at the end."""
    apps = [FastAPI(lifespan=lifespan(url, cache=10)), FastAPI(lifespan=lifespan())]
    monkeypatch.setenv("ORMIS_URL", url)
    for app in apps:

        @app.get("/count")
        async def count() -> int:
            await Stall(name="x").asave()
            return await Stall.objects.acount()

        with pytest.raises(ormis.NotConnected):
            Stall.objects.count()
        with TestClient(app) as web:
            assert web.get("/count").json() == 1
            Stall.objects.all().delete()
        with pytest.raises(ormis.NotConnected):
            Stall.objects.count()


def test_a_lifespan_within_another(url: str, raw: Any) -> None:
    """An application with more to start enters it in its own."""
    started: list[int] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(url)(app):
            started.append(await Stall.objects.acount())
            yield

    with TestClient(FastAPI(lifespan=own)):
        assert started == [0]


def test_fastapi_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import ormis` does not import it; without it the module says what to install."""
    check = "import sys, ormis; assert not {'fastapi', 'ormis.contrib'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", check], check=True, env={"PYTHONPATH": ":".join(sys.path)})
    monkeypatch.delitem(sys.modules, "ormis.contrib.fastapi")
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ImportError, match=r'pip install "ormis\[fastapi\]"'):
        importlib.import_module("ormis.contrib.fastapi")


@MODES
async def test_a_protected_deletion_names_the_model_that_refers(stalls: None, mode: str) -> None:
    """By its name, as other errors do, not by the key of its hashes."""
    stall = Stall.objects.get(name="Fish")
    with pytest.raises(ormis.ProtectedError) as caught:
        await do(mode, stall, "delete")
    assert (caught.value.model, caught.value.field) == ("Ware", "stall_id")
