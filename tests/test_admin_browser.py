"""The admin in a browser: `ormis admin` on the polls of the examples, in headless Chromium.

It is skipped where playwright (`pip install "ormis[browser]"`) or Chromium is missing. `make screenshots` writes the
pictures of docs/admin.md by it.
"""

import gc
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason='playwright is missing: pip install "ormis[browser]"')

if TYPE_CHECKING:
    from playwright.sync_api import Page
else:
    Page = Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURES = os.environ.get("ORMIS_SCREENSHOTS", "")

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is missing")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()
    with warnings.catch_warnings():  # playwright leaves the pipes of its process to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def address(raw: Any, url: str) -> Iterator[str]:
    """The address of `ormis admin`, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ormis", "admin", "--models", "fastapi_polls.models", "--url", url]
    process = subprocess.Popen([*command, "--port", str(port)], cwd=EXAMPLES, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = process.stdout.readline().strip()
        assert told == f"http://127.0.0.1:{port}/admin"
        while process.poll() is None:
            try:
                httpx2.get(f"{told}/", timeout=60)
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield told
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    """A page of the browser; at its end there must have been no error of a script, and no dialog."""
    opened = browser.new_page(viewport={"width": 1100, "height": 640})
    opened.set_default_timeout(120_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
    opened.goto(f"{address}/")
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture
def picture(page: Page) -> Callable[[str], None]:
    """Writes a picture of the page, if there is a place for them."""

    def write(name: str) -> None:
        if PICTURES:
            page.wait_for_timeout(400)
            page.screenshot(path=f"{PICTURES}/admin-{name}.png")

    return write


def ask(page: Page, address: str, text: str, *choices: str) -> None:
    """Creates a question with its choices in one form."""
    page.goto(f"{address}/question/create")
    page.fill("#text", text)
    for number, choice in enumerate(choices):
        page.click(".inline-add-row")
        page.fill(f'[name="inlines.choice-question.{number}.text"]', choice)


def save(page: Page) -> None:
    with page.expect_navigation():
        page.click('button[type="submit"]:has-text("Save"):not([name])')


def test_polls_in_a_browser(page: Page, address: str, raw: Any, picture: Callable[[str], None]) -> None:
    """A question with choices is created, refused with a message, filtered, paged and deleted, by the pages alone."""
    ask(page, address, "Tea", "Green")
    page.fill("#text", "Te")
    save(page)
    assert page.inner_text("#text-error") == "String should have at least 3 characters"
    page.fill("#text", "Tea or coffee?")
    page.click(".inline-add-row")
    page.fill('[name="inlines.choice-question.0.text"]', "Tea")
    page.fill('[name="inlines.choice-question.1.text"]', "Coffee")
    picture("form")
    save(page)
    assert "was added successfully" in page.inner_text("#alertContainer, .page-wrapper")

    ask(page, address, "Tea or coffee?")
    save(page)
    assert page.inner_text("#text-error") == "Another Question has this value."
    picture("error")

    for number in range(12):
        ask(page, address, f"Question {number}?", *(["yes", "no"] if number == 3 else []))
        save(page)
    page.goto(f"{address}/choice/create")
    page.click(".select2-selection")
    page.fill(".select2-search__field", "coffee")
    page.click(".select2-results__option:has-text('Tea or coffee?')")
    page.fill("#text", "Neither")
    page.fill("#votes", "7")
    save(page)

    page.goto(f"{address}/question/list?page_size=10")
    assert page.inner_text('[data-ormis="place"]') == "1 to 10 of 13"
    picture("list")
    with page.expect_navigation():
        page.click('[data-ormis="next"]')
    assert page.inner_text('[data-ormis="place"]') == "11 to 13 of 13"

    page.goto(f"{address}/choice/list?filter=votes__gte%3D5")
    assert page.locator("tbody tr").count() == 1
    assert "Neither" in page.inner_text("tbody")
    page.goto(f"{address}/question/list")
    page.fill('input[name="q"]', "coffee")
    with page.expect_navigation():
        page.press('input[name="q"]', "Enter")
    assert page.locator("tbody tr").count() == 1

    with page.expect_navigation():
        page.click('tbody tr a[aria-label^="Delete"]')
    assert page.inner_text('[data-ormis="taken"]').split() == ["Question", "1", "Choice", "3"]
    picture("delete")
    with page.expect_navigation():
        page.click('button:has-text("Delete")')
    assert "Deleted: 3 Choice, 1 Question." in page.inner_text(".page-wrapper")

    page.goto(f"{address}/")
    assert "Question" in page.inner_text('[data-ormis="overview"]')
    picture("front")
    assert sorted(key for key in raw.keys("*question:[0-9]*"))


def test_bulk_deletion_in_a_browser(page: Page, address: str) -> None:
    """Selected rows are deleted after the page that says what goes with them."""
    for text in ("Bread", "Cheese", "Wine"):
        ask(page, address, text, "yes")
        save(page)
    page.goto(f"{address}/question/list")
    for box in page.locator('[data-sa-hook="row-checkbox"]').all()[:2]:
        box.check()
    page.click('[data-sa-hook="actions-dropdown"] button')
    with page.expect_navigation():
        page.click('[data-sa-hook="actions-dropdown"] [data-sa-name="delete"]')
    assert page.inner_text('[data-ormis="taken"]').split() == ["Question", "2", "Choice", "2"]
    with page.expect_navigation():
        page.click('button:has-text("Delete")')
    page.goto(f"{address}/question/list")
    assert page.inner_text("tbody").count("Bread") == 1


def test_stored_markup_in_a_browser(page: Page, address: str) -> None:
    """Markup in a stored text is text on the list, in the search's highlight, in forms, pickers and messages."""
    text = "<b id='stored'>bold</b> \" ' & <i>x</i>"
    ask(page, address, text, text)
    save(page)
    assert page.locator("#stored").count() == 0
    for path in ("question/list", "question/list?q=bold", "question/detail?pk=1", "question/edit?pk=1", "choice/list"):
        page.goto(f"{address}/{path}")
        page.wait_for_load_state("networkidle")
        assert page.locator("#stored").count() == 0, path
    assert page.goto(f"{address}/choice/edit?pk=1") is not None
    page.wait_for_load_state("networkidle")
    page.click(".select2-selection")
    page.wait_for_selector(".select2-results__option:has-text('bold')")
    assert page.locator("#stored").count() == 0
    page.goto(f"{address}/question/edit?pk=1")
    page.fill("#text", f"{text}!")
    save(page)
    assert "was changed successfully" in page.inner_text(".page-wrapper")
    assert page.locator("#stored").count() == 0
