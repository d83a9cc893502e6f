import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { test } from "node:test";
import { inspect } from "node:util";
import { EventHubConsumerClient, latestEventPosition } from "@azure/event-hubs";
import { EventHubsError, ExpectationFailed, openSpace } from "@evhub/testing";
import { useSpace } from "@evhub/testing/node";
import { withNotifier } from "./notifier.cjs";

const manifest = createRequire(import.meta.url)("@evhub/testing/package.json");
const eh = useSpace({ orders: { partitions: 4, groups: ["audit"] } });
const paid = { body: { ID: "7", State: "paid" }, key: "7", id: "a1", props: { schema: "order.v1" } };

test("an order is published", async () => {
  await withNotifier(eh.connectionStrings.orders, (notifier) => notifier.send({ ID: "7", State: "paid" }));
  const [event] = await eh.expect("orders", { subset: { ID: "7" } });
  assert.deepEqual([event.body, event.key, event.id], [{ ID: "7", State: "paid" }, "7", "order-7"]);
});

test("what is expected is given", async () => {
  await eh.publish("orders", paid, { text: "hello", partition: 0 });
  const [event] = await eh.expect("orders", { subset: { ID: "7" }, prop: { schema: "order.v1" } });
  assert.deepEqual([event.body, event.key, event.id, event.props], [paid.body, "7", "a1", paid.props]);
  assert.equal((await eh.expect("orders", {}, { count: { min: 1, max: 2 } })).length, 2);
  assert.deepEqual((await eh.events("orders", { partition: "0" })).map((e) => e.text), ["hello"]);
});

test("an expectation waits", async () => {
  const expected = eh.expect("orders", { key: "7" }, { timeout: "30s" });
  await eh.publish("orders", paid);
  assert.equal((await expected).length, 1);
});

test("a miss shows the nearest event and the test's own line", async function here() {
  await eh.publish("orders", { body: paid.body, partition: 2, props: { schema: "order.v2" } });
  const where = { subset: { State: "paid" }, prop: { schema: "order.v1" } };
  const error = await eh.expect("orders", where, { name: "paid", timeout: 20 }).catch((error) => error);
  assert.ok(error instanceof ExpectationFailed);
  const lines = error.message.split("\n");
  assert.match(lines[0], /^paid: want 1 event .*in orders since m0, matched 0 of 1 seen in /);
  assert.deepEqual(lines.slice(1), ["  nearest 2/0: props.schema", "    - order.v1", "    + order.v2", "  no client came"]);
  assert.equal(error.problem.reason, "too-few");
  assert.match(error.stack, /at async .*here.*space\.test\.js/);
  assert.doesNotMatch(error.stack, /(space|api)\.cjs/);
});

test("a miss shows what happened on the wire", async () => {
  await eh.fault("send", "throttle");
  await withNotifier(eh.connectionStrings.orders, (notifier) => notifier.send({ ID: "7" }));
  const wire = /\n  what \S+ saw:\n(    .*\n)*    \S+ send .* orders 1 event -> fault f1: throttle\n(    .*\n)*    \S+ send .* orders 1 event$/m;
  const none = { key: "none" };
  for (const miss of [() => eh.expect("orders", none, { timeout: 20 }), () => eh.readers("orders", { timeout: 20 })]) {
    const { message, stack } = await miss().catch((error) => error);
    assert.match(message, wire);
    assert.ok(stack.includes(message), stack);
  }
});

test("a long story is told from its end", async () => {
  const busy = await eh.fault("send", "throttle", { times: -1 });
  for (let n = 0; n < 8; n++) await withNotifier(eh.connectionStrings.orders, (notifier) => notifier.send({ ID: "7" })).catch(() => {});
  await busy.remove();
  const { message } = await eh.expect("orders", {}, { timeout: 20 }).catch((error) => error);
  const lines = message.slice(message.indexOf("saw:")).split("\n");
  assert.match(lines[1], /^    \(\d+ earlier entries\)$/);
  assert.equal(lines.length, 22);
});

test("runners can compare and print connection strings", () => {
  const strings = eh.connectionStrings;
  assert.deepEqual(strings, { ...strings });
  assert.equal(JSON.stringify(strings), JSON.stringify({ orders: strings.orders }));
  assert.match(inspect(strings), /^\{\n? *orders: .*Endpoint=sb:/);
});

const misspelt = {
  "a space": [() => openSpace({}, { sed: 7 }), /^EventHubsError: openSpace: there is no option 'sed'; there are seed, name, ttl, timeout, url, endpoint$/],
  "useSpace": [async () => useSpace({}, { verfy: false }), /useSpace: there is no option 'verfy'; there are verify, seed, name,/],
  "expect": [() => eh.expect("orders", {}, { count: 0, uniqe: "id" }), /expect: there is no option 'uniqe'; there are count, name, since, .*, settle$/],
  "a second where": [() => eh.expect("orders", {}, { key: "7" }), /expect: there is no option 'key'/],
  "events": [() => eh.events("orders", {}, { sinse: "m0" }), /events: there is no option 'sinse'; there is only since$/],
  "readers": [() => eh.readers("orders", { cont: 4 }), /readers: there is no option 'cont'; there are count, group, timeout$/],
  "a number": [() => eh.readers("orders", 4), /readers: the options are an object with any of count, group, timeout, not 4$/],
  "null": [() => eh.expect("orders", {}, null), /expect: the options are an object with any of .*, not null$/],
  "timeline": [() => eh.timeline({ sinse: "m0" }), /timeline: there is no option 'sinse'/],
  "close": [() => eh.close({ verfy: false }), /close: there is no option 'verfy'; there is only verify$/],
  "a fault": [() => eh.fault("send", "throttle", { tims: 3 }), /^EventHubsError: \/on\/tims: there is no such field; there are /],
};

for (const [name, [call, text]] of Object.entries(misspelt)) {
  test(`a misspelt option: ${name}`, async () => {
    const error = await call().then(() => undefined, (error) => error);
    assert.match(String(error), text);
    assert.doesNotMatch(error.stack, /(space|options|hooks)\.cjs/);
  });
}

test("absence", async () => {
  assert.deepEqual(await eh.expect("orders", {}, { count: 0 }), []);
  await eh.publish("orders", paid);
  const since = await eh.mark();
  assert.deepEqual(await eh.expect("orders", {}, { count: 0, since, settle: 10 }), []);
  await assert.rejects(eh.expect("orders", {}, { count: 0 }), /want no event/);
});

test("order and duplicates", async () => {
  await eh.publish("orders", ...[0, 1, 2].map((n) => ({ body: { n }, key: "7", id: String(n % 2) })));
  const found = await eh.expect("orders", [{ path: { n: 0 } }, { path: { n: 2 } }], { order: "partition" });
  assert.deepEqual(found.map((event) => event.body.n), [0, 2]);
  const wrong = [{ path: { n: 2 } }, { path: { n: 0 } }];
  await assert.rejects(eh.expect("orders", wrong, { order: "partition", timeout: 50 }), /not in this order/);
  await assert.rejects(eh.expect("orders", {}, { count: { min: 0 }, unique: "id" }), /came twice/);
  const since = await eh.mark();
  await eh.publish("orders", { body: { n: 3 } });
  await assert.rejects(eh.expect("orders", {}, { since, unique: "id" }), /has no id/);
  await assert.rejects(eh.expect("orders", { path: { n: 1 } }, { others: "forbid" }), ExpectationFailed);
});

test("a throttled send is retried", async () => {
  const busy = await eh.fault("send", "throttle", { hub: "orders", times: 2 });
  await withNotifier(eh.connectionStrings.orders, (notifier) => notifier.send({ ID: "7" }));
  assert.equal(await busy.fired(2), 2);
  await eh.expect("orders", { path: { ID: "7" } });
  assert.ok((await eh.timeline()).some((entry) => entry.fault));
});

test("a fault that is waited for in vain, and one that is misspelt", async () => {
  const fault = await eh.fault("send", { type: "delay", duration: "1ms" });
  await assert.rejects(fault.fired(1, { timeout: "10ms" }), ExpectationFailed);
  await assert.rejects(fault.fired(1, { timout: "10ms" }), /fired: there is no option 'timout'; there is only timeout$/);
  assert.deepEqual([await fault.hits(), await fault.remove()], [0, 0]);
  await assert.rejects(eh.fault("send", "thottle"), (error) => error instanceof EventHubsError && /^\/do\/type: (?!\/do)/.test(error.message));
});

test("a reader from the end misses nothing", async () => {
  const client = new EventHubConsumerClient("audit", eh.connectionStrings.orders);
  const received = [];
  await new Promise(async (resolve, reject) => {
    const processEvents = async (events) => {
      received.push(...events.map((event) => event.body));
      if (received.length === 4) resolve();
    };
    client.subscribe({ processEvents, processError: async (error) => reject(error) }, { startPosition: latestEventPosition });
    await eh.readers("orders", { count: 4, group: "audit", timeout: "30s" });
    await eh.publish("orders", ...[0, 1, 2, 3].map((partition) => ({ body: partition, partition })));
  });
  assert.deepEqual(received.sort(), [0, 1, 2, 3]);
  await client.close();
});

test("what is left behind is told", async () => {
  const space = await openSpace({ orders: {} });
  await space.fault("send", "throttle");
  await assert.rejects(space.close(), /fault f1 \(throttle on send\) never fired/);
  const allowed = await openSpace({ orders: {} });
  await allowed.fault("send", "throttle", { optional: true });
  await allowed[Symbol.asyncDispose]();
});

test("errors teach", async () => {
  await assert.rejects(eh.expect("order"), /did you mean 'orders'/);
  const noHub = /^EventHubsError: there is no hub 'eh1' in this test; it has: orders\. Hubs are named to useSpace or openSpace: \{ "eh1": \{\} \}$/;
  assert.throws(() => eh.connectionStrings.eh1, noHub);
  assert.throws(() => { const { eh1 } = eh.connectionStrings; }, noHub);
  await assert.rejects(eh.expect(""), /^EventHubsError: a hub has a name, and this is ''; the hubs of .* are: orders$/);
  await assert.rejects(openSpace({}, { url: "127.0.0.1:5300" }), /is not a broker's URL/);
  await assert.rejects(openSpace({}, { url: "http://127.0.0.1:1" }), /no broker answers at http:\/\/127\.0\.0\.1:1: ECONNREFUSED/);
});

/** What openSpace says of a server that answers everything so, and what that was asked. */
async function refusalOf(status, content, { headers = {}, user = "" } = {}) {
  const asked = [];
  const server = createServer((request, answer) => {
    asked.push([request.method, request.url, request.headers.authorization]);
    answer.writeHead(status, { Connection: "close", ...headers }).end(content);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${server.address().port}`;
  const error = await openSpace({}, { url: `http://${user}${address}` }).catch((error) => error);
  server.close();
  return { error, address, asked };
}

test("a credential in the URL", async () => {
  const { error, asked } = await refusalOf(401, "", { user: "test%20er:secret@" });
  assert.match(error.message, /\/spaces: 401: this is not a broker/);
  assert.deepEqual(asked, [["POST", "/admin/v1/spaces", "Basic dGVzdCBlcjpzZWNyZXQ="]]);
});

const strangers = {
  html: [200, "<html>"],
  nothing: [200, ""],
  "no object": [200, "[]"],
  "a redirect": [307, "<a href='/login'>", { headers: { Location: "/login" } }],
  "other JSON": [502, '{"error":"upstream"}'],
};

for (const [name, [status, content, options]] of Object.entries(strangers)) {
  test(`what is no broker: ${name}`, async () => {
    const { error, address } = await refusalOf(status, content, options);
    assert.ok(error instanceof EventHubsError);
    const want = `POST http://${address}/admin/v1/spaces: ${status}: this is not a broker with a test kit: ${JSON.stringify(content)}`;
    assert.equal(error.message, want);
  });
}

test("the place is told once", async () => {
  for (const detail of ["/hubs/x: too many", "too many"]) {
    const { error } = await refusalOf(400, JSON.stringify({ detail, pointer: "/hubs/x" }));
    assert.equal(error.message, "/hubs/x: too many");
  }
});

const madeBy = (version) => JSON.stringify({ space: "s1", connectionString: "", connectionStrings: {}, version });

test("a broker of another release", async () => {
  const { error, address, asked } = await refusalOf(200, madeBy("v99.1.0"));
  assert.ok(error.message.startsWith(`@evhub/testing ${manifest.version} (`), error.message);
  assert.ok(error.message.includes(`) does not go with evhub 99.1.0 (http://${address}). Install @evhub/testing 99.1.0 `), error.message);
  assert.deepEqual(asked.map(([method, path]) => [method, path]), [["POST", "/admin/v1/spaces"], ["DELETE", "/admin/v1/spaces/s1"]]);
});

test("a broker of this release, or of none", async () => {
  for (const version of [manifest.version, `v${manifest.version}`, "devel", "v99.1.0-3-gabcdef1", undefined]) {
    assert.equal((await refusalOf(200, madeBy(version))).error.name, "s1"); // a space, and no error
  }
});

test("options of a space", async () => {
  const space = await openSpace({ "a/b": {} }, { name: "named-7", seed: 7, endpoint: "broker.test:15672", timeout: 20 });
  assert.equal(space.name, "named-7");
  assert.match(space.connectionString, /^Endpoint=sb:\/\/broker\.test:15672;SharedAccessKeyName=named-7;/);
  await assert.rejects(space.expect("a/b"), /0 seen in 2\d/);
  await space.close();
});
