"""The fixtures, the marker and the options. README.md shows them at work."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from .errors import EventHubsError, ExpectationFailed
from .server import Server
from .space import Space
from .stream import EventStream

try:
    import pytest_asyncio
except ImportError:
    pytest_asyncio = None

T = TypeVar("T")

_MARKER = "eventhubs(hubs=None, seed=None, verify=True): hubs of the test's own, such as {'orders': {'partitions': 4, 'groups': ['audit']}}"
_WORKER_URL = "evhub_url"  # what a worker of pytest-xdist is told
_SERVER = pytest.StashKey[Server]()  # of the process that has workers
_TIMEOUT = pytest.StashKey[float]()  # in seconds
_SPACE = pytest.StashKey[Space]()  # of a test
_BROKEN_OFF = pytest.StashKey[bool]()  # a test that failed, expected or not, or was skipped half-way


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("eventhubs_hubs", "hubs of tests without marker, one a line: name:partitions:group,group", "linelist", ["eh1:2:cg1"])
    parser.addini("eventhubs_timeout", "how long to wait for what is expected: seconds, or a text like 500ms; 60 s at most", default="5s")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    config.stash[_TIMEOUT] = _seconds("eventhubs_timeout", config.getini("eventhubs_timeout"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if server := config.stash.get(_SERVER, None):
        server.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says how the broker of all workers ended, if it did: they only see that nobody answers."""
    server = config.stash.get(_SERVER, None)
    if server and (end := server.obituary()):
        terminalreporter.section("Event Hubs: the broker is gone", red=True)
        terminalreporter.write_line(end)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One broker for all workers of pytest-xdist. If it cannot be had, the tests that need it say so."""
    config = node.config
    if os.environ.get("EVHUBTEST_URL"):
        return
    if _SERVER not in config.stash:
        with suppress(EventHubsError):
            config.stash[_SERVER] = Server()
    if _SERVER in config.stash:
        node.workerinput[_WORKER_URL] = config.stash[_SERVER].url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Adds to a failure what happened on the wire."""
    report = yield
    if call.excinfo is not None and call.when != "teardown":
        item.stash[_BROKEN_OFF] = True
        if report.failed and (space := item.stash.get(_SPACE, None)):
            with suppress(EventHubsError):
                report.sections.append((f"Event Hubs: what {space.name} saw", space.timeline_text() or "no client came"))
    return report


@pytest.fixture(scope="session")
def eventhubs_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The admin URL of the broker: EVHUBTEST_URL if that is set, otherwise a broker of this test run."""
    if url := os.environ.get("EVHUBTEST_URL") or getattr(pytestconfig, "workerinput", {}).get(_WORKER_URL):
        yield url
        return
    with _plainly(Server) as server:
        yield server.url


@pytest.fixture
def eventhubs(request: pytest.FixtureRequest, eventhubs_url: str) -> Iterator[Space]:
    """A Space: the hubs of this test, their connection strings, and what can be asked about them. At the end no link may be open, and no
    fault unfired."""
    options = {"hubs": None, "seed": None, "verify": True} | _marked(request.node)
    hubs = _default_hubs(request.config) if options["hubs"] is None else options["hubs"]
    space = _plainly(
        Space, eventhubs_url, hubs, seed=options["seed"], timeout=request.config.stash[_TIMEOUT],
        endpoint=os.environ.get("EVHUBTEST_ENDPOINT"))
    request.node.stash[_SPACE] = space
    request.node.stash[_BROKEN_OFF] = False  # it may have been, in an earlier try
    yield space
    # Who did not come to the end is not asked about what was left behind.
    _plainly(space.close, verify=options["verify"] and not request.node.stash[_BROKEN_OFF])


def _plainly(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Calls what may fail between tests. Then the text is all that helps: no line of the test is to blame."""
    try:
        return function(*args, **options)
    except (EventHubsError, ExpectationFailed) as failed:
        text = str(failed)
    pytest.fail(text, pytrace=False)


def _marked(node: pytest.Item) -> dict[str, Any]:
    """What the markers say, the nearest last."""
    options: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers("eventhubs"))):
        options |= mark.kwargs
        if mark.args or options.keys() - {"hubs", "seed", "verify"}:
            pytest.fail(f"the marker is @pytest.mark.{_MARKER}", pytrace=False)
    return options


def _seconds(key: str, text: str) -> float:
    """What the ini file has under key, so that nobody has to find it in the failure of a test."""
    units = {"ms": 0.001, "s": 1, "m": 60, "": 1}
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|)", text.strip())
    if parts and (seconds := float(parts[1]) * units[parts[2]]) <= 60:
        return seconds
    raise pytest.UsageError(f"{key}: it must be a number of seconds up to 60, or a text like 500ms or 10s, not {text!r}")


def _default_hubs(config: pytest.Config) -> dict[str, dict[str, Any]]:
    hubs = {}
    for line in config.getini("eventhubs_hubs"):
        name, _, rest = line.partition(":")
        partitions, _, groups = rest.partition(":")
        if not name or partitions and not partitions.isdecimal():
            pytest.fail(f"eventhubs_hubs: {line!r} is not name:partitions:group,group, such as orders:4:billing,audit", pytrace=False)
        hubs[name] = {"partitions": int(partitions or 1), "groups": [group for group in groups.split(",") if group]}
    return hubs


@pytest.fixture
def events(eventhubs: Space) -> EventStream:
    """The events of the test's first hub, to iterate over: `assert list(events) == [{"foo": "bar"}]`."""
    return EventStream(eventhubs, _first_hub(eventhubs))


def _first_hub(space: Space) -> str:
    if not space.hub:
        pytest.fail("this test has no hub to begin with: give it one, as in @pytest.mark.eventhubs(hubs={'orders': {}})", pytrace=False)
    return space.hub


@pytest.fixture
def eventhub_producer(request: pytest.FixtureRequest) -> Any:
    """The official client, azure.eventhub.aio.EventHubProducerClient, for the test's first hub. Closed when the test is over."""
    return request.getfixturevalue(f"_eventhub_producer_{_loop(request)}")


@pytest.fixture
def eventhub_consumer(request: pytest.FixtureRequest) -> Any:
    """The official client, azure.eventhub.aio.EventHubConsumerClient, for the test's first hub and that hub's first group. Closed when the
    test is over."""
    return request.getfixturevalue(f"_eventhub_consumer_{_loop(request)}")


def _open_producer(space: Space) -> Any:
    from azure.eventhub.aio import EventHubProducerClient

    return EventHubProducerClient.from_connection_string(space.connection_strings[_first_hub(space)])


def _open_consumer(space: Space) -> Any:
    from azure.eventhub.aio import EventHubConsumerClient

    hub = _first_hub(space)
    groups = space.hubs[hub].get("groups") or ["$Default"]
    return EventHubConsumerClient.from_connection_string(space.connection_strings[hub], consumer_group=groups[0])


def _client_of(open_client: Callable[[Space], Any]) -> Callable[[Space], AsyncIterator[Any]]:
    async def client(eventhubs: Space) -> AsyncIterator[Any]:
        try:
            opened = open_client(eventhubs)
        except ImportError as error:
            pytest.fail(f"this fixture needs the official client ({error}): pip install azure-eventhub", pytrace=False)
        async with opened:
            yield opened

    return client


# A client must be closed on the event loop that it was used on, which is that of the test. Hence a fixture for each loop that a test may have,
# of which the one is taken that fits; what has no name in the list below does not exist.
_SCOPES = ("function", "class", "module", "package", "session")

for _name, _open in ("producer", _open_producer), ("consumer", _open_consumer):
    _fixture = f"_eventhub_{_name}_anyio"
    globals()[_fixture] = pytest.fixture(name=_fixture)(_client_of(_open))
    for _scope in _SCOPES if pytest_asyncio else ():
        _fixture = f"_eventhub_{_name}_{_scope}"
        globals()[_fixture] = pytest_asyncio.fixture(_client_of(_open), name=_fixture, loop_scope=_scope)


def _loop(request: pytest.FixtureRequest) -> str:
    """Whose event loop the test runs on: anyio's, or pytest-asyncio's of a scope."""
    marker = request.node.get_closest_marker("asyncio")
    if marker is None and "anyio_backend" in request.fixturenames:
        return "anyio"
    if pytest_asyncio is None or not request.config.pluginmanager.has_plugin("asyncio"):
        pytest.fail(f"{request.fixturename} is a client for asyncio, so the test needs pytest-asyncio or anyio", pytrace=False)
    if marker is not None and (scope := marker.kwargs.get("loop_scope")):
        return scope
    with suppress(ValueError):  # not known to older ones
        return request.config.getini("asyncio_default_test_loop_scope") or "function"
    return "function"
