"""A client of the admin without a browser: it reads the forms of pages and sends them as a browser does."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from ormis.contrib.admin import Admin

SECRET = "a secret of the tests, and of no other use"


@dataclass
class Page(HTMLParser):
    """An answer: its status, its text, the inputs of its forms with their values."""

    status: int
    url: str
    html: str
    location: str = ""
    inputs: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: tuple[str, list[str]] | None = None
        self._skipped = 0
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "input" and name and given.get("type") not in ("search", "submit", "button"):
            if given.get("type") == "checkbox":
                if "checked" in given:
                    self.inputs.append((name, given.get("value") or "on"))
            else:
                self.inputs.append((name, given.get("value") or ""))
        elif tag == "textarea":
            self._open = (name, [])
        elif tag == "select" and name:
            initial: list[Any] = json.loads(given.get("data-initial") or "[]")
            self.inputs += [(name, str(key)) for key in initial]
            self._select = name
        elif tag == "option" and "selected" in given:
            self.inputs.append((getattr(self, "_select", ""), given.get("value") or ""))

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._open is not None:
            name, parts = self._open
            self.inputs.append((name, "".join(parts).removeprefix("\n").replace("\n", "\r\n")))
            self._open = None

    @property
    def text(self) -> str:
        """The text of the page, as somebody reads it."""
        without = re.sub(r"<(script|style)\b.*?</\1>", " ", self.html, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]*>", " ", without).split())

    def values(self, name: str) -> list[str]:
        return [value for known, value in self.inputs if known == name]

    def part(self, name: str) -> str:
        """The text of the element with this data-ormis."""
        found = re.search(rf'<(\w+)[^>]*data-ormis="{name}"[^>]*>(.*?)</\1>', self.html, re.DOTALL)
        return "" if found is None else " ".join(re.sub(r"<[^>]*>", " ", found[2]).split())

    def link(self, name: str) -> str:
        """The address of a link of the pages; empty if it leads nowhere."""
        for tag in re.findall(rf'<a[^>]*data-ormis="{name}"[^>]*>', self.html):
            if found := re.search(r'href="([^"]*)"', tag):
                return found[1].replace("&amp;", "&")
        return ""

    def error(self, name: str) -> str:
        """The message beside a field."""
        found = re.search(rf'id="{re.escape(name)}-error">(.*?)</div>', self.html, re.DOTALL)
        return "" if found is None else found[1]

    def rows(self) -> list[str]:
        """The keys of the rows of a list."""
        return re.findall(r'<tr data-sa-pk="([^"]*)"', self.html)


class Pages:
    """A client with the cookies of a browser."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **params: Any) -> Page:
        answer = self.client.get(path if path.startswith(("/", "http")) else f"/admin/{path}", params=params or None)
        return Page(answer.status_code, str(answer.request.url), answer.text)

    def send(self, page: Page, to: str | None = None, **changes: Any) -> Page:
        """Sends the form of a page, with these values changed; None leaves one out, a list sends several."""
        inputs = [(name, value) for name, value in page.inputs if name not in changes]
        for name, value in changes.items():
            inputs += [(name, one) for one in (value if isinstance(value, list) else [value]) if one is not None]
        data: dict[str, list[str]] = {}
        for name, value in inputs:
            data.setdefault(name, []).append(value)
        answer = self.client.post(to or page.url, data=data, follow_redirects=False)
        return Page(answer.status_code, str(answer.request.url), answer.text, answer.headers.get("location", ""))

    def action(self, model: str, name: str, pks: list[Any], query: str = "", headers: Mapping[str, str] = {}) -> Any:
        """Asks for an action on rows, as the script of the list page does."""
        token = self.client.cookies.get("starlette_admin_csrftoken") or ""
        params = {"name": name, "pks": [str(pk) for pk in pks], "_list_query": query}
        given = {"X-CSRFToken": token, **headers}
        return self.client.post(f"/admin/_api/{model}/action", params=params, headers=given, follow_redirects=False)


def application(*models: Any, **options: Any) -> Starlette:
    """An application with the pages of these models."""
    app = Starlette()
    Admin(models, **{"secret_key": SECRET, **options}).mount_to(app)
    return app


shared_application = cache(application)
"""One for all tests: it compiles a hundred templates."""


@contextmanager
def pages_of(*models: Any, **options: Any) -> Iterator[Pages]:
    """The pages of these models, in an application of their own."""
    with TestClient(application(*models, **options)) as client:
        yield Pages(client)
