"""The plugin in test runs of its own."""

import os
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_evhub import Server

NOTIFIER = (Path(__file__).parent / "test_notifier.py").read_text(encoding="utf-8")
SEND = "await self.producer.send_event(EventData(json.dumps(message)))"


@pytest.fixture
def tests(pytester):
    """Runs a test module. The options of the outer run do not matter."""

    def run(source: str, *options: str, ini: str = ""):
        asyncio = "" if "no:asyncio" in options else "asyncio_default_fixture_loop_scope = function\n"
        pytester.makeini("[pytest]\n" + asyncio + ini)
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)

    return run


def test_the_notifier_passes(tests):
    tests(NOTIFIER).assert_outcomes(passed=1)


def test_without_a_message_the_diff_shows(tests):
    assert SEND in NOTIFIER
    result = tests(NOTIFIER.replace(SEND, "pass"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "*    assert list(events) == [[]data[]]",
        "E *assert [[][]] == [[]{'foo': 'bar'}[]]",
        "E *Right contains one more item: {'foo': 'bar'}",
        "*Event Hubs: what * saw*",
        "no client came",
    ])


def test_another_message_shows_in_the_diff(tests):
    result = tests(NOTIFIER.replace("json.dumps(message)", 'json.dumps({"foo": "baz"})'))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *assert [[]{'foo': 'baz'}[]] == [[]{'foo': 'bar'}[]]", "*send *eh1*"])


MISS = """
    import asyncio, pytest

    def test_plain(eventhubs):
        eventhubs.publish("eh1", {"body": {"State": "open"}, "partition": 1})
        eventhubs.expect("eh1", {"subset": {"State": "paid"}}, timeout="10ms")

    @pytest.mark.asyncio
    async def test_async(eventhubs, events):
        eventhubs.publish("eh1", {"body": {"State": "open"}, "partition": 1})
        await eventhubs.aexpect("eh1", {"subset": {"State": "paid"}}, timeout="10ms")
"""


def test_a_miss_shows_the_test_s_line_and_nothing_of_the_plugin(tests):
    result = tests(MISS)
    result.assert_outcomes(failed=2)
    for line in 'eventhubs.expect("eh1", {"subset"', 'await eventhubs.aexpect("eh1", {"subset"':
        result.stdout.fnmatch_lines([
            f">       {line.replace('[', '[[]')}*",
            "E       pytest_evhub.ExpectationFailed: want 1 event (subset {\"State\":\"paid\"}) in eh1 since m0, matched 0 of 1 seen in *",
            "E         nearest 1/0: body.State",
            "E           - paid",
            "E           + open",
        ])
    result.stdout.no_re_match_line(r".*(space|api|stream|threads?)\.py:\d+")


LEFT_BEHIND = """
    import asyncio, pytest
    from azure.eventhub import EventData, EventHubProducerClient

    def test_fault(eventhubs):
        eventhubs.fault("send", "throttle")

    def test_link(eventhubs):
        global kept
        kept = EventHubProducerClient.from_connection_string(eventhubs.connection_strings["eh1"])
        kept.send_event(EventData("x"))

    def test_cut():
        kept.close()

    @pytest.mark.eventhubs(verify=False)
    def test_allowed(eventhubs):
        eventhubs.fault("send", "throttle")

    def test_failed_already(eventhubs):
        eventhubs.fault("send", "throttle")
        assert False

    @pytest.mark.xfail
    def test_failed_as_expected(eventhubs):
        eventhubs.fault("send", "throttle")
        assert False
"""


def test_what_is_left_behind_fails_the_test(tests):
    result = tests(LEFT_BEHIND)
    result.assert_outcomes(passed=4, failed=1, errors=2, xfailed=1)
    result.stdout.fnmatch_lines([
        "the space '*' was not left clean:",
        "*fault f1 (throttle on send) never fired*",
        "the space '*' was not left clean:",
        "*sender * is still open*",
    ])
    result.stdout.no_fnmatch_line("*plugin.py*")


CLIENTS = """
    import asyncio, pytest
    from azure.eventhub import EventData

    {mark}
    async def test_send(eventhub_producer, eventhub_consumer, events):
        await eventhub_producer.send_event(EventData('"x"'))
        await eventhub_consumer.get_partition_ids()
        assert list(events) == ["x"]
"""


@pytest.mark.parametrize("mark, ini, options", [
    pytest.param("@pytest.mark.asyncio", "", [], id="strict"),
    pytest.param("", "asyncio_mode = auto", [], id="auto"),
    pytest.param("@pytest.mark.asyncio(loop_scope='session')", "", [], id="session"),
    pytest.param("@pytest.mark.asyncio", "asyncio_default_test_loop_scope = module", [], id="module"),
    pytest.param("@pytest.mark.anyio", "", ["-p", "no:asyncio"], id="anyio"),
    pytest.param("@pytest.mark.anyio", "", [], id="anyio-beside-asyncio"),
])
def test_clients_are_closed_on_the_loop_of_their_test(tests, mark, ini, options):
    only = "@pytest.fixture\n    def anyio_backend():\n        return 'asyncio'\n\n    " if "anyio" in mark else ""
    result = tests(CLIENTS.replace("{mark}", only + mark), "-W", "error", *options, ini=ini)
    result.assert_outcomes(passed=1)


def test_a_client_without_a_loop(tests):
    result = tests("def test(eventhub_producer): pass", "-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["eventhub_producer is a client for asyncio, so the test needs pytest-asyncio or anyio"])


HUBS = """
    import pytest
    pytestmark = pytest.mark.eventhubs(seed=7)

    def test_ini(eventhubs):
        assert eventhubs.hubs == {"orders": {"partitions": 4, "groups": ["audit", "billing"]}, "clicks": {"partitions": 1, "groups": []}}
        assert len(eventhubs.mark()) > 1 and eventhubs.hub == "orders"

    @pytest.mark.eventhubs(hubs={"own": {"partitions": 3}})
    def test_marker(eventhubs, eventhubs_url):
        assert list(eventhubs.connection_strings) == ["own"]
        assert eventhubs._api.call("GET", "/spaces/" + eventhubs.name)["seed"] == 7
"""


def test_hubs_come_from_the_marker_or_the_ini_file(tests):
    tests(HUBS, "--strict-markers", ini="eventhubs_hubs =\n  orders:4:audit,billing\n  clicks").assert_outcomes(passed=2)


@pytest.mark.parametrize("source, ini, text", [
    ("def test(eventhubs): pass", "eventhubs_hubs = orders:many", "eventhubs_hubs: 'orders:many' is not name:partitions:group,group*"),
    ("import pytest\n@pytest.mark.eventhubs(hub='x')\ndef test(eventhubs): pass", "", "the marker is @pytest.mark.eventhubs(hubs=None,*"),
    ("import pytest\n@pytest.mark.eventhubs(hubs={'x': {'partition': 1}})\ndef test(eventhubs): pass", "", "/hubs/x/partition: *"),
    ("import pytest\n@pytest.mark.eventhubs(hubs={})\ndef test(events): pass", "", "this test has no hub to begin with: give it one, *"),
    ("def test(eventhubs): eventhubs.expect('eh1')", "eventhubs_timeout = 10ms", "E *want 1 event in eh1 since m0, matched 0 of 0 seen in 1*"),
])
def test_what_is_configured_wrongly_is_said(tests, source, ini, text):
    result = tests(source, ini=ini)
    assert result.ret == 1
    result.stdout.fnmatch_lines([text])


@pytest.mark.parametrize("text, seconds", [("10", 10), ("2.5", 2.5), ("500ms", 0.5), ("1m", 60), ("5s", 5), ("0", 0)])
def test_the_timeout_of_the_ini_file(tests, text, seconds):
    source = f"""
        from pytest_evhub.plugin import _TIMEOUT

        def test(request):
            assert request.config.stash[_TIMEOUT] == {seconds}
    """
    tests(source, ini=f"eventhubs_timeout = {text}").assert_outcomes(passed=1)


@pytest.mark.parametrize("text", ["ten", "61", "2m", "-1s", "10 minutes", "1e3", ""])
def test_a_wrong_timeout_is_said_at_the_start(tests, text):
    result = tests("def test(eventhubs): pass", ini=f"eventhubs_timeout = {text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: eventhubs_timeout: it must be a number of seconds up to 60, or a text like 500ms or 10s, not {text!r}"])


def test_no_broker(tests, monkeypatch):
    monkeypatch.setenv("EVHUB_BINARY", "/nowhere/evhub")
    result = tests("def test(eventhubs): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["EVHUB_BINARY: there is no file /nowhere/evhub"])
    monkeypatch.setenv("EVHUB_BINARY", sys.executable)
    tests("def test(eventhubs): pass").stdout.fnmatch_lines(["evhub did not start (exit code 2):", "*"])
    monkeypatch.setenv("EVHUBTEST_URL", "http://127.0.0.1:1")
    tests("def test(eventhubs): pass").stdout.fnmatch_lines(["no broker answers at http://127.0.0.1:1: *refused*"])


WORKERS = """
    import pytest

    @pytest.mark.parametrize("n", range(8))
    def test_alone(eventhubs, eventhubs_url, n):
        print("broker", eventhubs_url)
        eventhubs.publish("eh1", {"body": n})
        assert [event["body"] for event in eventhubs.events("eh1")] == [n]
"""


def brokers(result) -> set[str]:
    return set(re.findall(r"broker (http://\S+)", result.stdout.str()))


def test_workers_share_a_broker_and_no_hub(tests):
    result = tests(WORKERS, "-n", "2", "-rP")
    result.assert_outcomes(passed=8)
    assert len(brokers(result)) == 1


def test_a_broker_that_is_there_is_used(tests, monkeypatch):
    with Server() as server:
        monkeypatch.setenv("EVHUBTEST_URL", server.url)
        monkeypatch.setenv("EVHUB_BINARY", "/nowhere/evhub")
        for options in [], ["-n", "2"]:
            result = tests(WORKERS, "-rP", *options)
            result.assert_outcomes(passed=8)
            assert brokers(result) == {server.url}


def test_the_end_of_the_shared_broker_is_told(tests, pytester):
    pytester.makeconftest("""
        from pytest_evhub.plugin import _SERVER

        def pytest_testnodeready(node):
            node.config.stash[_SERVER]._process.kill()
            node.config.stash[_SERVER]._process.wait()
    """)
    result = tests("def test(eventhubs): pass", "-n", "1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([
        "no broker answers at *", "*Event Hubs: the broker is gone*", "*, which was started for these tests, * Its log:", "(empty)"])
    result.stdout.no_fnmatch_line("*curl*")


unix = pytest.mark.skipif(os.name == "nt", reason="there are no forks")


@pytest.mark.parametrize("is_parent", ["True", pytest.param("os.fork()", marks=unix)])
def test_the_broker_does_not_outlive_its_test_run(is_parent):
    script = f"""
import os, sys
from pytest_evhub import Server
server = Server()
if {is_parent}:
    print(server.url, flush=True)
sys.stdin.read()
"""
    run = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with run:
        address = urlsplit(run.stdout.readline().strip())
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            run.kill()
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), timeout=20)


@unix
def test_a_broker_can_be_stopped_while_a_child_holds_its_pipe():
    server = Server()
    held = server._process.stdin.fileno()
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[held]):
        server.stop()
    assert server._process.returncode == 0
    server.stop()
