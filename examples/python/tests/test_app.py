"""The whole service over HTTP, from the request to the event."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from pytest_evhub import EventStream, Space

from notifications.app import create


@pytest.fixture
def api(eventhubs: Space) -> Iterator[TestClient]:
    with TestClient(create(eventhubs.connection_string, "eh1", retry_total=0)) as client:
        yield client


def test_what_is_posted_is_published(api: TestClient, events: EventStream) -> None:
    answer = api.post("/notifications", json={"id": "7", "state": "paid"})
    assert answer.status_code == 201
    assert list(events) == [{"id": "7", "state": "paid"}]


def test_what_is_no_object_is_refused(api: TestClient, events: EventStream) -> None:
    assert api.post("/notifications", json=["paid"]).status_code == 422
    assert list(events) == []


@pytest.mark.parametrize("misfortune", ["throttle", "drop"])
def test_the_caller_is_told_that_it_failed(api: TestClient, eventhubs: Space, events: EventStream, misfortune: str) -> None:
    fault = eventhubs.fault("send", misfortune, times=-1)
    answer = api.post("/notifications", json={"id": "7"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert list(events) == []
    assert fault.remove() >= 1
    assert api.post("/notifications", json={"id": "7"}).status_code == 201  # and the service goes on
    eventhubs.expect("eh1", {"body": {"id": "7"}})
