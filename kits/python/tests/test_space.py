"""What a test can ask of its space. No event is sent by a client here, so nothing needs the official one."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import pytest
from pytest_evhub import EventHubsError, ExpectationFailed, Server, Space

PAID = {"body": {"ID": "7", "State": "paid"}, "key": "7", "id": "a1", "props": {"schema": "order.v1"}}
orders = pytest.mark.eventhubs(hubs={"orders": {"partitions": 4, "groups": ["audit"]}})


def test_the_default_hub(eventhubs):
    assert eventhubs.hubs == {"eh1": {"partitions": 2, "groups": ["cg1"]}}
    assert f"SharedAccessKeyName={eventhubs.name};" in eventhubs.connection_string
    assert eventhubs.connection_strings["eh1"].endswith("EntityPath=eh1;")
    with pytest.raises(EventHubsError, match=r"no hub 'orders' in this test; it has: eh1\. .*@pytest\.mark\.eventhubs\(hubs={'orders': {}}\)"):
        eventhubs.connection_strings["orders"]
    assert eventhubs.connection_strings.get("orders") is None


@orders
def test_what_is_expected_is_given(eventhubs):
    eventhubs.publish("orders", PAID, {"text": "hello", "partition": 0})
    [event] = eventhubs.expect("orders", {"subset": {"ID": "7"}, "prop": {"schema": "order.v1"}})
    assert (event["body"], event["key"], event["id"], event["props"]) == (PAID["body"], "7", "a1", {"schema": "order.v1"})
    assert [e["text"] for e in eventhubs.expect("orders", {"partition": "0"})] == ["hello"]
    assert len(eventhubs.expect("orders", count={"min": 1, "max": 2})) == 2


@orders
def test_an_expectation_waits(eventhubs):
    with ThreadPoolExecutor() as pool:
        expected = pool.submit(eventhubs.expect, "orders", {"key": "7"}, timeout=30)
        eventhubs.publish("orders", PAID)
        assert len(expected.result()) == 1


@orders
def test_a_miss_shows_the_nearest(eventhubs):
    eventhubs.publish("orders", {"body": PAID["body"], "partition": 2, "props": {"schema": "order.v2"}})
    with pytest.raises(ExpectationFailed) as miss:
        eventhubs.expect("orders", {"subset": {"State": "paid"}, "prop": {"schema": "order.v1"}}, name="paid", timeout=0.05)
    lines = str(miss.value).splitlines()
    assert lines[0].startswith("paid: want 1 event in orders since m0, matched 0 of 1 seen in ")
    assert lines[1:4] == ["  nearest 2/0: props.schema", '    - order.v1', '    + order.v2']
    assert miss.value.problem["reason"] == "too-few"


@orders
def test_absence(eventhubs):
    assert eventhubs.expect("orders", count=0) == []
    eventhubs.publish("orders", PAID)
    mark = eventhubs.mark()
    assert eventhubs.expect("orders", count=0, since=mark, settle=0.01) == []
    with pytest.raises(ExpectationFailed, match="want no event in orders"):
        eventhubs.expect("orders", count=0)


@orders
def test_order_and_duplicates(eventhubs):
    eventhubs.publish("orders", *({"body": {"n": n}, "key": "7", "id": str(n % 2)} for n in range(3)))
    found = eventhubs.expect("orders", {"path": {"n": 0}}, {"path": {"n": 2}}, order="partition")
    assert [event["body"]["n"] for event in found] == [0, 2]
    with pytest.raises(ExpectationFailed, match="not in this order"):
        eventhubs.expect("orders", {"path": {"n": 2}}, {"path": {"n": 0}}, order="partition", timeout="50ms")
    with pytest.raises(ExpectationFailed, match='"0" came twice'):
        eventhubs.expect("orders", count={"min": 0}, unique="id")
    since = eventhubs.mark()
    eventhubs.publish("orders", {"body": {"n": 3}})
    with pytest.raises(ExpectationFailed, match="has no id"):
        eventhubs.expect("orders", since=since, unique="id")
    with pytest.raises(ExpectationFailed):
        eventhubs.expect("orders", {"path": {"n": 1}}, others="forbid")


@orders
def test_listing(eventhubs):
    eventhubs.publish("orders", *({"body": n, "partition": n % 4} for n in range(1500)))
    assert sorted(event["body"] for event in eventhubs.events("orders")) == list(range(1500))
    assert [event["body"] for event in eventhubs.events("orders", {"body": 7})] == [7]
    assert eventhubs.events("orders", since=eventhubs.mark()) == []


def test_the_events_fixture(events, eventhubs):
    assert list(events) == []
    eventhubs.publish("eh1", {"body": {"n": 1}, "partition": 0}, {"text": "two", "partition": 0}, {"base64": "AAH/", "partition": 0})
    assert next(events) == {"n": 1}
    assert list(events) == ["two", b"\x00\x01\xff"]
    assert list(events) == []
    eventhubs.publish("eh1", {"body": 4})
    assert list(events) == [4]


@pytest.mark.asyncio
async def test_waiting_for_the_next_event(events, eventhubs):
    eventhubs.publish("eh1", *({"body": n, "partition": 0} for n in range(3)))
    assert await anext(events) == 0
    assert list(events) == [1, 2]
    eventhubs.publish("eh1", {"body": 3})
    async for event in events:
        assert event == 3
        break


@pytest.mark.asyncio
async def test_the_next_events_have_the_order_of_a_listing(events, eventhubs):
    for n in range(4):
        eventhubs.publish("eh1", {"body": n, "partition": (n + 1) % 2})
    assert [await anext(events) for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.asyncio
async def test_each_who_waits_for_the_next_gets_another(events, eventhubs):
    waiting = [asyncio.create_task(anext(events)) for _ in range(2)]
    given_up = asyncio.create_task(anext(events))
    await asyncio.sleep(0)  # they have begun
    given_up.cancel()
    eventhubs.publish("eh1", {"body": 1})
    [first], [second] = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    eventhubs.publish("eh1", {"body": 2})
    assert (await first, await second) == (1, 2)


@orders
def test_readers(eventhubs):
    assert eventhubs.readers("orders", 0, group="audit") == 0
    with pytest.raises(ExpectationFailed, match="group audit at hub orders that wait for events: 0, want 4; none is attached"):
        eventhubs.readers("orders", 4, group="audit", timeout="50ms")
    with pytest.raises(EventHubsError, match="groups here: "):
        eventhubs.readers("orders", 4, group="audits")


def test_faults(eventhubs):
    fault = eventhubs.fault("send", {"type": "delay", "duration": "1ms"}, hub="eh1", times=2)
    assert fault.hits == 0
    with pytest.raises(ExpectationFailed):
        fault.fired(2, timeout="10ms")
    assert fault.remove() == 0
    with pytest.raises(EventHubsError, match="^/do/type: (?!/do)"):
        eventhubs.fault("send", "thottle")
    eventhubs.fault("send", "throttle", optional=True)


def test_errors_teach(eventhubs):
    with pytest.raises(EventHubsError, match="did you mean 'eh1'"):
        eventhubs.expect("eh2")
    with pytest.raises(EventHubsError, match="subzet"):
        eventhubs.expect("eh1", {"subzet": {}})
    with pytest.raises(EventHubsError, match="^a hub has a name, and this is ''; the hubs of .* are: eh1$"):
        eventhubs.expect("")


@pytest.mark.eventhubs(hubs={"a/b": {}}, seed=7)
def test_names_are_encoded(eventhubs):
    assert eventhubs.publish(eventhubs.hub, {"text": "x"})[0]["partition"] == "0"
    assert len(eventhubs.events("a/b")) == 1


def test_two_spaces_of_one_broker(eventhubs, eventhubs_url):
    eventhubs.publish("eh1", {"text": "mine"})
    with Space(eventhubs_url, {"eh1": {}}) as other:
        assert other.events("eh1") == [] and other.connection_string != eventhubs.connection_string
    with pytest.raises(EventHubsError, match="no space"):
        other.mark()


def test_an_endpoint_for_forwarded_ports(eventhubs_url):
    with Space(eventhubs_url, {"eh1": {}}, endpoint="broker.test:15672") as space:
        assert space.connection_string.startswith("Endpoint=sb://broker.test:15672;")


@contextmanager
def answering(status: int, content: str, **headers: str):
    """A server that answers everything so. It gives its URL, and the requests it got as method, path and credential."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            got.append((self.command, self.path, self.headers["Authorization"]))
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content.encode())

        do_POST = do_DELETE = answer

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor() as pool:
        pool.submit(server.serve_forever)
        try:
            yield f"127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()


def test_a_credential_in_the_url():
    with answering(401, "") as (address, got), pytest.raises(EventHubsError, match=f"^POST http://{address}/admin/v1/spaces: 401: "):
        Space(f"http://test%20er:secret@{address}", {})
    assert got == [("POST", "/admin/v1/spaces", "Basic dGVzdCBlcjpzZWNyZXQ=")]


@pytest.mark.parametrize("status, content, headers", [
    pytest.param(200, "<html>", {}, id="html"),
    pytest.param(200, "", {}, id="empty"),
    pytest.param(200, "[]", {}, id="no object"),
    pytest.param(307, "<a href='/login'>", {"Location": "/login"}, id="redirect"),
    pytest.param(502, '{"error":"upstream"}', {}, id="other json"),
    pytest.param(404, '{"detail":[1]}', {}, id="another detail"),
])
def test_what_is_no_broker(status, content, headers):
    with answering(status, content, **headers) as (address, _), pytest.raises(EventHubsError) as refused:
        Space(f"http://{address}", {})
    want = f"POST http://{address}/admin/v1/spaces: {status}: this is not a broker with a test kit: {content.encode()!r}"
    assert str(refused.value) == want


@pytest.mark.parametrize("detail", ["/hubs/x: too many", "too many"])
def test_the_place_is_told_once(detail):
    problem = json.dumps({"detail": detail, "pointer": "/hubs/x"})
    with answering(400, problem) as (address, _), pytest.raises(EventHubsError, match="^/hubs/x: too many$"):
        Space(f"http://{address}", {})


KIT = version("pytest-evhub")


def made_by(release: str) -> str:
    return json.dumps({"space": "s1", "connectionString": "", "connectionStrings": {}, "version": release})


def test_a_broker_of_another_release():
    with answering(200, made_by("v99.1.0")) as (address, got), pytest.raises(EventHubsError) as refused:
        Space(f"http://{address}", {})
    assert str(refused.value).startswith(f"pytest-evhub {KIT} (")
    assert f") does not go with evhub 99.1.0 (http://{address}). Install the wheel of pytest-evhub 99.1.0, or " in str(refused.value)
    assert [(method, path) for method, path, _ in got] == [("POST", "/admin/v1/spaces"), ("DELETE", "/admin/v1/spaces/s1")]


@pytest.mark.parametrize("release", [KIT, f"v{KIT}", "devel", "v99.1.0-3-gabcdef1", "v0.0.0-20260131120000-abcdef123456+dirty"])
def test_a_broker_of_this_release_or_of_none(release):
    with answering(200, made_by(release)) as (address, _), Space(f"http://{address}", {}) as space:
        assert space.name == "s1"


def test_a_broker_that_has_ended():
    with Server() as server:
        space = Space(server.url, {"eh1": {}})
        server._process.kill()
        server._process.wait()
        with pytest.raises(EventHubsError) as gone:
            space.mark()
    text = str(gone.value)
    assert text.startswith(f"no broker answers at {server.url}: ")
    assert re.search(rf"\. {re.escape(server.binary)}, which was started for these tests, (was )?ended .*\d\. Its log:\n", text)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:5300", "http://"])
def test_what_is_no_url(url):
    with pytest.raises(EventHubsError, match="is not a broker's URL"):
        Space(url, {})
