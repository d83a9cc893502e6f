"""What a test can ask of its space. No event is sent by a client here, so nothing needs the official one."""

from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pytest_evhub import EventHubsError, ExpectationFailed, Space

PAID = {"body": {"ID": "7", "State": "paid"}, "key": "7", "id": "a1", "props": {"schema": "order.v1"}}
orders = pytest.mark.eventhubs(hubs={"orders": {"partitions": 4, "groups": ["audit"]}})


def test_the_default_hub(eventhubs):
    assert eventhubs.hubs == {"eh1": {"partitions": 2, "groups": ["cg1"]}}
    assert f"SharedAccessKeyName={eventhubs.name};" in eventhubs.connection_string
    assert eventhubs.connection_strings["eh1"].endswith("EntityPath=eh1;")


@orders
def test_what_is_expected_is_given(eventhubs):
    eventhubs.publish("orders", PAID, {"text": "hello", "partition": 0})
    [event] = eventhubs.expect("orders", {"subset": {"ID": "7"}, "prop": {"schema": "order.v1"}})
    assert (event["body"], event["key"], event["id"], event["props"]) == (PAID["body"], "7", "a1", {"schema": "order.v1"})
    assert [e["text"] for e in eventhubs.expect("orders", {"partition": "0", "body": "hello"})] == ["hello"]
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
    with pytest.raises(EventHubsError, match="^/do/type: "):
        eventhubs.fault("send", "thottle")
    eventhubs.fault("send", "throttle", optional=True)


def test_errors_teach(eventhubs):
    with pytest.raises(EventHubsError, match="did you mean 'eh1'"):
        eventhubs.expect("eh2")
    with pytest.raises(EventHubsError, match="subzet"):
        eventhubs.expect("eh1", {"subzet": {}})


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


def test_a_credential_in_the_url():
    given = []

    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self):
            given.append(self.headers["Authorization"])
            self.send_error(401)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as refusing, ThreadPoolExecutor() as pool:
        answered = pool.submit(refusing.handle_request)
        with pytest.raises(EventHubsError, match=f"^POST http://127.0.0.1:{refusing.server_port}/admin/v1/spaces: 401: this is not a broker"):
            Space(f"http://test%20er:secret@127.0.0.1:{refusing.server_port}", {})
        answered.result()
    assert given == ["Basic dGVzdCBlcjpzZWNyZXQ="]


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:5300", "http://"])
def test_what_is_no_url(url):
    with pytest.raises(EventHubsError, match="is not a broker's URL"):
        Space(url, {})
