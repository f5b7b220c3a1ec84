"""The tests of the API: `pytest examples/fastapi_polls`. Each has an empty database on a server of their own.

The application connects to $ORMIS_URL; while a test uses `ormis_url`, that is the database of the test.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from .api import app
from .models import Choice, Question


@pytest.fixture
def client(ormis_url: str) -> Iterator[TestClient]:
    """A client of the running application, whose database is the default one for the test, too."""
    with TestClient(app) as client:
        yield client


def ask(client: TestClient, text: str = "Tea or coffee?", *choices: str) -> int:
    """Asks a question with these choices, and returns its key."""
    made = client.post("/questions", json={"text": text})
    assert made.status_code == 201
    for choice in choices:
        assert client.post(f"/questions/{made.json()['id']}/choices", json={"text": choice}).status_code == 201
    return made.json()["id"]


def test_a_question_and_its_choices(client: TestClient) -> None:
    """What was sent comes back, and is stored."""
    pk = ask(client, "Tea or coffee?", "Tea", "Coffee")
    shown = client.get(f"/questions/{pk}").json()
    assert (shown["id"], shown["text"]) == (pk, "Tea or coffee?")
    assert shown["choices"] == [{"id": 1, "text": "Tea", "votes": 0}, {"id": 2, "text": "Coffee", "votes": 0}]
    assert Question.get(pk).choices.count() == 2


def test_every_vote_counts(client: TestClient) -> None:
    """Votes of many clients at once."""
    pk = ask(client, "Tea or coffee?", "Tea", "Coffee")
    with ThreadPoolExecutor(8) as voters:
        answers = voters.map(lambda voter: client.post(f"/choices/{1 + (voter % 3 == 0)}/votes"), range(120))
    assert {answer.status_code for answer in answers} == {200}
    assert [choice["votes"] for choice in client.get(f"/questions/{pk}").json()["choices"]] == [80, 40]
    assert client.get("/questions").json()["objects"][0]["votes"] == 120


def test_what_is_not_there(client: TestClient) -> None:
    """404, with the model in the body."""
    for method, path in [
        ("GET", "/questions/7"),
        ("PATCH", "/questions/7"),
        ("DELETE", "/questions/7"),
        ("POST", "/questions/7/choices"),
    ]:
        sent = None if method in ("GET", "DELETE") else {"text": "Tea or coffee?"}
        answer = client.request(method, path, json=sent)
        assert (answer.status_code, answer.json()["model"]) == (404, "Question")
        assert "7" in answer.json()["detail"]
    assert client.post("/choices/7/votes").json()["model"] == "Choice"


def test_what_is_there_already(client: TestClient) -> None:
    """409, with model and field in the body; nothing is stored."""
    pk = ask(client, "Tea or coffee?", "Tea")
    other = ask(client, "Tabs or spaces?", "Tea")
    taken = client.post("/questions", json={"text": "Tea or coffee?"})
    assert taken.status_code == 409
    assert (taken.json()["model"], taken.json()["field"]) == ("Question", "text")
    assert client.patch(f"/questions/{other}", json={"text": "Tea or coffee?"}).status_code == 409
    assert client.post(f"/questions/{pk}/choices", json={"text": "Tea"}).status_code == 409
    assert (Question.objects.count(), Choice.objects.count()) == (2, 2)


def test_the_same_question_at_once(client: TestClient) -> None:
    """One client asks it, the others are told that it is there."""
    with ThreadPoolExecutor(8) as clients:
        answers = clients.map(lambda _: client.post("/questions", json={"text": "Tea or coffee?"}), range(16))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 15]
    assert Question.objects.count() == 1


def test_what_a_client_may_not_set(client: TestClient) -> None:
    """A POST with the key of another object does not overwrite it; nobody starts with votes."""
    pk = ask(client, "Tea or coffee?")
    assert client.post("/questions", json={"id": pk, "text": "Overwritten?"}).status_code == 422
    assert client.patch(f"/questions/{pk}", json={"published": "2020-01-01T00:00:00Z"}).status_code == 422
    assert client.post(f"/questions/{pk}/choices", json={"id": 9, "text": "Tea", "votes": 1000}).status_code == 422
    assert [question.text for question in Question.objects.all()] == ["Tea or coffee?"]
    assert not Choice.objects.exists()


def test_what_is_wrong(client: TestClient) -> None:
    """422, with the place of the fault."""
    answer = client.post("/questions", json={"text": "x"})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "text"])
    answer = client.get("/questions", params={"after": "x"})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "after"])


def test_pages(client: TestClient) -> None:
    """The tokens of a page lead to those beside it."""
    for number in range(5):
        ask(client, f"Question {number}?")
    first = client.get("/questions", params={"size": 2}).json()
    second = client.get("/questions", params={"size": 2, "after": first["next"]}).json()
    back = client.get("/questions", params={"size": 2, "before": second["previous"]}).json()
    assert [question["text"][9] for question in first["objects"] + second["objects"]] == ["4", "3", "2", "1"]
    assert back["objects"] == first["objects"]
    assert back["previous"] is None


def test_a_question_is_withdrawn(client: TestClient) -> None:
    """With its choices."""
    pk = ask(client, "Tea or coffee?", "Tea", "Coffee")
    assert client.delete(f"/questions/{pk}").status_code == 204
    assert client.get(f"/questions/{pk}").status_code == 404
    assert not Choice.objects.exists()
