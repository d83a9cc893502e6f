"""A message that is posted with a token reaches an unmodified consumer. Run by run.py, which says in the environment where everything is."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient

API = os.environ["EVHUB_API"]
ISSUER = os.environ["EVHUB_ISSUER"]
HUB = "eh1"
ANSWER_SECONDS = 10

if seed := os.environ.get("EVHUB_SEED"):
    # The user's own fixtures, from the user's own file, as they are.
    sys.path.insert(0, seed)
    specification = importlib.util.spec_from_file_location("users_own", Path(seed) / "test_notifier.py")
    users_own = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(users_own)
    eventhub_consumer, events = users_own.eventhub_consumer, users_own.events
else:

    @pytest_asyncio.fixture
    async def eventhub_consumer() -> AsyncIterator[EventHubConsumerClient]:
        consumer = EventHubConsumerClient.from_connection_string(
            os.environ["EVHUB_CONNECTION_STRING"], eventhub_name=HUB, consumer_group="cg1"
        )
        async with consumer:
            yield consumer

    @pytest_asyncio.fixture
    async def events(eventhub_consumer: EventHubConsumerClient) -> AsyncIterator[Iterator[dict[str, Any]]]:
        """Yields what has been received so far, once it is asked."""
        received: asyncio.Queue[EventData] = asyncio.Queue()

        async def on_event(_: object, event: EventData | None) -> None:
            if event is not None:
                await received.put(event)

        def collect() -> Iterator[dict[str, Any]]:
            while not received.empty():
                yield received.get_nowait().body_as_json()

        task = asyncio.ensure_future(eventhub_consumer.receive(on_event))
        await asyncio.sleep(2)  # the SDK does not say when its readers are attached, and they begin with what comes then
        yield collect()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def session(scope: str, secret: str = "dev") -> OAuth2Session:
    """An OAuth client that has found the issuer's token endpoint by discovery and got a token for itself."""
    metadata = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=ANSWER_SECONDS).json()
    assert metadata["issuer"] == ISSUER
    assert "client_credentials" in metadata["grant_types_supported"]
    client = OAuth2Session("orders-service", secret, scope=scope)
    client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", timeout=ANSWER_SECONDS)
    return client


def post(client: requests.Session, data: Any) -> requests.Response:
    return client.post(f"{API}/v1/hubs/{HUB}/messages", json=data, timeout=ANSWER_SECONDS)


@pytest.mark.asyncio
async def test_a_message_reaches_the_consumer(events: Iterator[dict[str, Any]]) -> None:
    data = {"foo": "bar"}
    response = await asyncio.to_thread(lambda: post(session(f"send:{HUB}"), data))
    assert response.status_code == 201, response.text
    assert response.json()["hub"] == HUB and response.json()["id"]
    await asyncio.sleep(1)  # the user's fixture can be asked once only, and does not say when it has something
    assert list(events) == [data]


def test_without_a_token() -> None:
    response = post(requests.Session(), {})
    assert response.status_code == 401, response.text
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_token_for_another_hub() -> None:
    response = post(session("send:another"), {})
    assert response.status_code == 403, response.text
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]


def test_a_forged_token() -> None:
    client = session(f"send:{HUB}")
    header, claims, signature = client.token["access_token"].split(".")
    forged = f"{header}.{claims}.{signature[:-8]}AAAAAAAA"
    response = requests.post(f"{API}/v1/hubs/{HUB}/messages", json={}, headers={"Authorization": f"Bearer {forged}"}, timeout=ANSWER_SECONDS)
    assert response.status_code == 401, response.text
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_the_issuer_knows_its_clients() -> None:
    with pytest.raises(OAuthError) as refused:
        session(f"send:{HUB}", secret="wrong")
    assert refused.value.error == "invalid_client"
