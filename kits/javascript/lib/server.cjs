"use strict";

// The broker as a process of its own, which ends with this one, however that ends: its standard input is tied to it.

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const path = require("node:path");
const { clearTimeout, setTimeout } = require("node:timers");
const { EventHubsError } = require("./errors.cjs");

const READY_MS = 20_000;
const END_MS = 10_000;
const EXIT_MS = 1000; // from a broker's closed port to its exit code
const LOG_CHARS_MAX = 4000;
const BANNER = /^evhub: ready in .*?^Emulator Service is Successfully Up!\n/ms; // what serve says to people at a terminal

const executable = process.platform === "win32" ? "evhub.exe" : "evhub";

const running = new Map(); // brokers that this process has started and not stopped, by URL

/** Starts a broker on ports of the system's choice. It does not keep this process running. */
async function startServer() {
  const binary = findBinary();
  const listeners = ["amqp", "api", "admin"].flatMap((door) => [`--listen-${door}`, "127.0.0.1:0"]);
  // Configuration that is meant for another broker of this machine, with keys perhaps, is not for this one.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVHUB_")));
  const child = spawn(binary, ["serve", "--json", "--die-with-stdin", "--log-level", "warn", ...listeners], {
    env,
    detached: process.platform !== "win32", // an interrupt from the terminal must not reach it: tests still have to clean up
    windowsHide: true,
  });
  const broker = new Broker(binary, child);
  const url = await broker.ready();
  for (const held of [child, child.stdin, child.stdout, child.stderr]) held.unref();
  running.set(url, broker);
  const stop = () => {
    running.delete(url);
    return broker.stop();
  };
  return { url, pid: child.pid, stop };
}

/** How the broker at this URL ended, if this process has started it and not stopped it, and its log; otherwise "". */
async function obituary(url) {
  const broker = running.get(url);
  return broker && (await broker.closedWithin(EXIT_MS)) ? `${broker.binary}, which was started for these tests, ${broker.end()}` : "";
}

/** Which binary is at this URL, if this process has started it. */
const binaryAt = (url) => running.get(url)?.binary;

class Broker {
  #child;
  #log = "";
  #closed; // once it has ended, and all that it said was read

  constructor(binary, child) {
    this.binary = binary;
    this.#child = child;
    this.#closed = new Promise((resolve) => child.once("close", () => resolve(true)));
    child.stdin.on("error", () => {}); // it is gone already
    child.stderr.setEncoding("utf8").on("data", (text) => (this.#log = (this.#log + text).replace(BANNER, "").slice(-LOG_CHARS_MAX)));
  }

  /** Waits for the one line on standard output, which says where the broker listens. It comes once everything is there. */
  ready() {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      let out = "";
      const alarm = setTimeout(() => child.kill("SIGKILL"), READY_MS);
      const fail = (why) => {
        clearTimeout(alarm);
        reject(new EventHubsError(`evhub did not start (${why})${this.#log && ":\n"}${this.#log.trim()}`));
      };
      child.on("error", (error) => fail(error.message));
      child.on("close", (code, signal) => fail(signal ?? `exit code ${code}`));
      child.stdout.setEncoding("utf8").on("data", (text) => {
        out += text;
        if (!out.includes("\n")) return;
        clearTimeout(alarm);
        try {
          resolve(JSON.parse(out).admin);
        } catch {
          this.#log = `its first line is not JSON: ${out.slice(0, 200)}`;
          child.kill("SIGKILL");
        }
      });
    });
  }

  async closedWithin(ms) {
    let alarm;
    const late = new Promise((resolve) => (alarm = setTimeout(() => resolve(false), ms)));
    const closed = await Promise.race([this.#closed, late]);
    clearTimeout(alarm);
    return closed;
  }

  end() {
    const { exitCode, signalCode } = this.#child;
    const how = signalCode ? `was ended by ${signalCode}` : `ended with exit code ${exitCode}`;
    return `${how}. Its log:\n${this.#log.trim() || "(empty)"}`;
  }

  async stop() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    child.stdin.end();
    const alarm = setTimeout(() => child.kill("SIGKILL"), END_MS);
    await once(child, "exit");
    clearTimeout(alarm);
  }
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

let own; // this process's own broker: the promise of it, and how many have borrowed it

/** Gives the URL of this process's own broker, which is started when it is first asked for, and a function to give it back with. */
async function borrowServer() {
  own ??= { started: startServer(), borrowers: 0 };
  const borrowed = own;
  borrowed.borrowers++; // from now on, since it may be stopped while it starts
  let held = true;
  const giveBack = () => {
    if (held) borrowed.borrowers--;
    held = false;
  };
  try {
    return { url: (await borrowed.started).url, giveBack };
  } catch (error) {
    giveBack();
    throw error;
  }
}

/** Ends this process's own broker, if there is one. The next who borrows it has it started again. */
async function stopServer() {
  const ending = own;
  own = undefined;
  await (await ending?.started.catch(() => undefined))?.stop();
}

/** Ends this process's own broker, if nobody has borrowed it. */
async function stopUnusedServer() {
  if (own?.borrowers === 0) await stopServer();
}

module.exports = { startServer, stopServer, stopUnusedServer, borrowServer, obituary, binaryAt };
