"""The port through which the application notifies, and its adapter for Azure Event Hubs."""

from typing import Any, Protocol
from uuid import uuid4

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient
from pydantic import TypeAdapter


class Notifier(Protocol):
    async def send(self, data: dict[str, Any]) -> None: ...


class AzureEventHubNotifier(Notifier):
    """Sends each notification as one event. The SDK may store an event twice when an answer is lost; both then have one message id."""

    def __init__(self, eventhub_producer: EventHubProducerClient) -> None:
        self.hub = eventhub_producer
        self.type_adapter = TypeAdapter(dict[str, Any])

    async def send(self, data: dict[str, Any]) -> None:
        event = EventData(self.type_adapter.dump_json(data))
        event.content_type = "application/json"
        event.message_id = str(uuid4())
        await self.hub.send_event(event)
