import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { openSpace, spaceHooks, startServer } from "@evhub/testing";
import { run } from "./run.js";

/** Runs a script in a Node.js of its own. */
const runScript = (script, environment) => run(["--input-type=module", "--eval", script], environment);

const open = 'import { openSpace } from "@evhub/testing"; const eh = await openSpace({ orders: {} });';

test("a script that forgets to close ends by itself", async () => {
  assert.deepEqual(await runScript(`${open} console.log((await eh.events("orders")).length)`), { code: 0, out: "0", err: "" });
});

/** Waits until the broker at this URL cuts a connection, which `end` sees to. */
async function cut(url, end) {
  const { hostname, port } = new URL(url);
  const connection = net.connect(port, hostname).resume();
  connection.on("error", () => {}); // reset or ended, it is closed
  await once(connection, "connect");
  end();
  await new Promise((resolve) => connection.once("close", resolve)); // once() would reject with the error
}

test("the broker does not outlive its process", async () => {
  const script = 'import { startServer } from "@evhub/testing"; console.log((await startServer()).url); process.stdin.resume();';
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["pipe", "pipe", "inherit"] });
  const url = String(await once(child.stdout, "data")).trim();
  await cut(url, () => child.kill("SIGKILL"));
  const { hostname, port } = new URL(url);
  await assert.rejects(once(net.connect(port, hostname), "connect"), { code: "ECONNREFUSED" });
});

test("a broker that has ended", async () => {
  const server = await startServer();
  const space = await openSpace({ orders: {} }, { url: server.url });
  await cut(server.url, () => process.kill(server.pid, "SIGKILL"));
  const text = /no broker answers at http:.*: ECONN\w+\. .*, which was started for these tests, (was )?ended .*\. Its log:\n\(empty\)$/;
  await assert.rejects(space.mark(), text);
  await server.stop();
});

test("the last one who uses the broker has it stopped, and it can be started again", async () => {
  const hooks = {};
  const keep = (name) => (hook) => (hooks[name] = hook);
  const inner = spaceHooks({ beforeEach: keep("open"), afterEach: keep("close"), afterAll: keep("stop") })({ inner: {} });
  for (let round = 0; round < 2; round++) {
    const outer = await openSpace({ outer: {} });
    await hooks.open();
    assert.deepEqual(await inner.events("inner"), []);
    await hooks.close();
    await hooks.stop();
    assert.deepEqual(await outer.events("outer"), []);
    await outer.close();
    await assert.rejects(outer.close(), /no space/); // and does not count twice
    await hooks.stop();
    await assert.rejects(outer.mark(), /no broker answers/);
  }
});

test("a broker that is there is used", async () => {
  const server = await startServer();
  const script = `${open} await eh.close(); console.log("ok")`;
  assert.equal((await runScript(script, { EVHUBTEST_URL: server.url, EVHUB_BINARY: "/nowhere" })).out, "ok");
  await server.stop();
  const { code, err } = await runScript(script, { EVHUBTEST_URL: server.url });
  assert.equal(code, 1);
  assert.match(err, /EventHubsError: no broker answers at http:/);
});

test("without a binary the way out is said", async () => {
  assert.match((await runScript(open, { EVHUB_BINARY: "/nowhere/evhub" })).err, /EVHUB_BINARY: there is no file \/nowhere\/evhub/);
  const other = { EVHUB_BINARY: process.execPath }; // which takes "serve" for a script
  assert.match((await runScript(open, other)).err, /EventHubsError: evhub did not start \(exit code 1\):\n.*Cannot find module/s);
});
