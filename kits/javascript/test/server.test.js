import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { startServer } from "@evhub/testing";
import { run } from "./run.js";

/** Runs a script in a Node.js of its own. */
const runScript = (script, environment) => run(["--input-type=module", "--eval", script], environment);

const open = 'import { openSpace } from "@evhub/testing"; const eh = await openSpace({ orders: {} });';

test("a script that forgets to close ends by itself", async () => {
  assert.deepEqual(await runScript(`${open} console.log((await eh.events("orders")).length)`), { code: 0, out: "0", err: "" });
});

test("the broker does not outlive its process", async () => {
  const script = 'import { startServer } from "@evhub/testing"; console.log((await startServer()).url); process.stdin.resume();';
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  const { hostname, port } = new URL(String(line).trim());
  const connection = net.connect(port, hostname).resume();
  connection.on("error", () => {}); // reset or ended, it is closed
  await once(connection, "connect");
  child.kill("SIGKILL");
  await once(connection, "close");
  await assert.rejects(once(net.connect(port, hostname), "connect"), { code: "ECONNREFUSED" });
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
