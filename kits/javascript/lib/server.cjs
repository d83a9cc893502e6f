"use strict";

// The broker as a process of its own, which ends with this one, however that ends: its standard input is tied to it.

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const path = require("node:path");
const { clearTimeout, setTimeout } = require("node:timers");
const { EventHubsError } = require("./api.cjs");

const READY_MS = 20_000;
const END_MS = 10_000;
const LOG_CHARS_MAX = 4000;

const executable = process.platform === "win32" ? "evhub.exe" : "evhub";

/** Starts a broker on ports of the system's choice. It does not keep this process running. */
async function startServer() {
  const listeners = ["amqp", "api", "admin"].flatMap((door) => [`--listen-${door}`, "127.0.0.1:0"]);
  // Configuration that is meant for another broker of this machine, with keys perhaps, is not for this one.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVHUB_")));
  const child = spawn(findBinary(), ["serve", "--json", "--die-with-stdin", "--log-level", "warn", ...listeners], {
    env,
    detached: process.platform !== "win32", // an interrupt from the terminal must not reach it: tests still have to clean up
    windowsHide: true,
  });
  const url = await ready(child);
  for (const held of [child, child.stdin, child.stdout, child.stderr]) held.unref();
  return { url, pid: child.pid, stop: () => stop(child) };
}

/** Waits for the one line on standard output, which says where the broker listens. It comes once everything is there. */
function ready(child) {
  return new Promise((resolve, reject) => {
    let out = "";
    let log = "";
    const alarm = setTimeout(() => child.kill("SIGKILL"), READY_MS);
    const fail = (why) => {
      clearTimeout(alarm);
      reject(new EventHubsError(`evhub did not start (${why})${log && ":\n"}${log.trim()}`));
    };
    child.on("error", (error) => fail(error.message));
    child.on("close", (code, signal) => fail(signal ?? `exit code ${code}`));
    child.stdin.on("error", () => {}); // it is gone already
    child.stderr.setEncoding("utf8").on("data", (text) => (log = (log + text).slice(-LOG_CHARS_MAX)));
    child.stdout.setEncoding("utf8").on("data", (text) => {
      out += text;
      if (!out.includes("\n")) return;
      clearTimeout(alarm);
      try {
        resolve(JSON.parse(out).admin);
      } catch {
        log = `its first line is not JSON: ${out.slice(0, 200)}`;
        child.kill("SIGKILL");
      }
    });
  });
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const alarm = setTimeout(() => child.kill("SIGKILL"), END_MS);
  child.stdin.end();
  await once(child, "exit");
  clearTimeout(alarm);
}

/** EVHUB_BINARY, else the package for this platform, else node_modules/.bin from here upwards, else the PATH. */
function findBinary() {
  const named = process.env.EVHUB_BINARY;
  if (named) {
    if (!isFile(named)) throw new EventHubsError(`EVHUB_BINARY: there is no file ${named}`);
    return named;
  }
  const found = packaged() ?? inDirectories([...binDirectories(), ...(process.env.PATH ?? "").split(path.delimiter)]);
  if (found) return found;
  throw new EventHubsError(
    `no evhub: install the package ${platformPackage()}, put evhub on the PATH, set EVHUB_BINARY to its path, or run the tests as: ` +
      "evhub exec -- npm test",
  );
}

const platformPackage = () => `@evhub/binary-${process.platform}-${process.arch}`;

function packaged() {
  try {
    return require.resolve(`${platformPackage()}/bin/${executable}`);
  } catch {
    return undefined;
  }
}

function binDirectories() {
  const directories = [];
  for (let at = process.cwd(); ; at = path.dirname(at)) {
    directories.push(path.join(at, "node_modules", ".bin"));
    if (at === path.dirname(at)) return directories;
  }
}

const inDirectories = (list) => list.map((directory) => path.join(directory, executable)).find(isFile);

const isFile = (file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;

let shared; // the promise of this process's own broker

/** The admin URL: EVHUBTEST_URL if that is set, otherwise that of a broker of this process, which is started when it is first asked for. */
async function serverUrl() {
  if (process.env.EVHUBTEST_URL) return process.env.EVHUBTEST_URL;
  shared ??= startServer();
  return (await shared).url;
}

/** Ends this process's own broker, if there is one. */
async function stopServer() {
  const ending = shared;
  shared = undefined;
  await (await ending?.catch(() => undefined))?.stop();
}

module.exports = { startServer, serverUrl, stopServer };
