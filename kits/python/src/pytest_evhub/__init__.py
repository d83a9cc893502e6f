"""Tests of Azure Event Hubs code without sleeps.

The fixtures are in plugin.py; pytest finds them by itself. What is here is for type annotations, and for tests that do without pytest:

    with Server() as server, Space(server.url, {"orders": {"partitions": 4}}) as space:
        send_order(space.connection_strings["orders"])
        space.expect("orders", {"subset": {"ID": "7"}})
"""

from .errors import EventHubsError, ExpectationFailed
from .server import Server
from .space import Fault, Space
from .stream import EventStream

__all__ = ["EventHubsError", "EventStream", "ExpectationFailed", "Fault", "Server", "Space"]

# Failures name these classes as their users know them.
EventHubsError.__module__ = ExpectationFailed.__module__ = __name__
