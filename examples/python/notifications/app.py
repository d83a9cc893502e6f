"""The service: uvicorn notifications.app:create --factory"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from azure.eventhub.aio import EventHubProducerClient
from azure.eventhub.exceptions import EventHubError
from fastapi import Depends, FastAPI, HTTPException, Request

from notifications.notifier import AzureEventHubNotifier, Notifier

LOCAL = "Endpoint=sb://localhost:5672;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"


def create(connection_string: str | None = None, eventhub_name: str | None = None, **client: Any) -> FastAPI:
    """Makes the application. What is not given is taken from the environment; without it, from a broker on this machine. client is for
    the SDK, such as retry_total."""
    connection_string = connection_string or os.environ.get("EVENTHUB_CONNECTION_STRING", LOCAL)
    eventhub_name = eventhub_name or os.environ.get("EVENTHUB_NAME", "eh1")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with EventHubProducerClient.from_connection_string(connection_string, eventhub_name=eventhub_name, **client) as producer:
            app.state.notifier = AzureEventHubNotifier(producer)
            yield

    app = FastAPI(title="notifications", lifespan=lifespan)
    app.post("/notifications", status_code=201)(publish)
    return app


def notifier(request: Request) -> Notifier:
    return request.app.state.notifier


async def publish(data: dict[str, Any], to: Annotated[Notifier, Depends(notifier)]) -> dict[str, Any]:
    """Answers when the event is stored."""
    try:
        await to.send(data)
    except EventHubError as failed:
        raise HTTPException(503, "the notification was not published, or nobody knows: send it again", {"Retry-After": "2"}) from failed
    return data
