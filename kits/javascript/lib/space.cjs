"use strict";

const path = require("node:path");
const { Api } = require("./api.cjs");
const { EventHubsError, ExpectationFailed, ofTheTest, saysAlso } = require("./errors.cjs");
const { optionsOf } = require("./options.cjs");
const { binaryAt, borrowServer } = require("./server.cjs");
const manifest = require("../package.json");

const COUNT_MAX = 1_000_000; // the broker's own limit for a count
const ENTRIES_SHOWN = 20;

// Below the five seconds that Jest and Vitest give a test: they would speak of their own time-out in place of what was missed.
const TIMEOUT = "4s";

const SPACE_OPTIONS = ["seed", "name", "ttl", "timeout", "url", "endpoint"];

/** Makes a space. index.d.cts has the words for what is here. */
async function openSpace(hubs, options = {}) {
  optionsOf("openSpace", options, ...SPACE_OPTIONS);
  const url = options.url ?? (process.env.EVHUBTEST_URL || undefined);
  const server = url === undefined ? await borrowServer() : { url, giveBack: () => {} };
  try {
    return await makeSpace(server, hubs, options);
  } catch (error) {
    server.giveBack();
    throw error;
  }
}

async function makeSpace(server, hubs, { seed, name, ttl = "12h", timeout = TIMEOUT, endpoint = process.env.EVHUBTEST_ENDPOINT }) {
  const api = new Api(server.url);
  const made = await api.call("POST", "/spaces", { name, hubs, seed, ttl }, { endpoint });
  const space = new Space(api, made, timeout, server.giveBack);
  const error = otherRelease(made.version, api.url);
  if (!error) return space;
  await space.close({ verify: false }).catch(() => {});
  throw ofTheTest(error);
}

/** Builds that are no releases go with all. */
function otherRelease(version, url) {
  const [ours, theirs] = [manifest.version, version].map((text) => /^v?(\d+\.\d+\.\d+)$/.exec(text)?.[1]);
  if (!ours || !theirs || ours === theirs) return undefined;
  return new EventHubsError(
    `${manifest.name} ${ours} (${path.dirname(__dirname)}) does not go with evhub ${theirs} (${binaryAt(url) ?? url}). Install ` +
      `${manifest.name} ${theirs} and the package with its binary, or have the tests use evhub ${ours}: EVHUBTEST_URL and EVHUB_BINARY say ` +
      "which one they use, else it is the one that is installed",
  );
}

class Space {
  #api;
  #path;
  #timeout;
  #giveBack;

  constructor(api, made, timeout, giveBack) {
    this.#api = api;
    this.#path = `/spaces/${encodeURIComponent(made.space)}`;
    this.#timeout = duration(timeout);
    this.#giveBack = giveBack;
    this.name = made.space;
    this.connectionString = made.connectionString;
    this.connectionStrings = byHub(made.connectionStrings);
  }

  async mark() {
    return (await this.#api.call("POST", `${this.#path}/marks`)).mark;
  }

  async expect(hub, where, options = {}) {
    const known = ["count", "name", "since", "timeout", "order", "unique", "others", "settle"];
    const { count = 1, name, since, timeout, order, unique, others, settle } = optionsOf("expect", options, ...known);
    const expected = [where ?? {}].flat().map((one) => ({ name, where: one, count }));
    return this.#ask(hub, expected, { since, timeout, order, unique, others, settle: duration(settle) });
  }

  async events(hub, where = {}, options = {}) {
    const { since } = optionsOf("events", options, "since");
    return this.#ask(hub, [{ where, count: { min: 0, max: COUNT_MAX } }], { since });
  }

  async #ask(hub, expected, options) {
    const request = { ...options, timeout: duration(options.timeout) ?? this.#timeout, expect: expected };
    return (await this.#wait("POST", `${this.#hub(hub)}/expect`, request)).events;
  }

  async publish(hub, ...events) {
    return (await this.#api.call("POST", `${this.#hub(hub)}/events`, events)).events;
  }

  async readers(hub, options = {}) {
    const { count = 1, group = "$Default", timeout } = optionsOf("readers", options, "count", "group", "timeout");
    const query = { count, group, timeout: duration(timeout) ?? this.#timeout };
    return (await this.#wait("GET", `${this.#hub(hub)}/readers`, undefined, query)).readers;
  }

  async fault(op, does, { optional = false, ...on } = {}) {
    const request = { on: { op, ...on }, do: typeof does === "string" ? { type: does } : does, optional };
    const made = await this.#api.call("POST", `${this.#path}/faults`, request);
    return new Fault(this.#api, `${this.#path}/faults/${made.fault}`, this.#timeout);
  }

  async timeline(options = {}) {
    const { since } = optionsOf("timeline", options, "since");
    return (await this.#api.call("GET", `${this.#path}/timeline`, undefined, { since })).timeline;
  }

  async links() {
    return (await this.#api.call("GET", `${this.#path}/links`)).links;
  }

  async close(options = {}) {
    const { verify = true } = optionsOf("close", options, "verify");
    try {
      await this.#api.call("DELETE", this.#path, undefined, { verify: verify ? 1 : undefined });
    } finally {
      this.#giveBack();
    }
  }

  /** A call that fails with what was missed. That says as well what happened on the wire. */
  async #wait(...request) {
    try {
      return await this.#api.call(...request);
    } catch (error) {
      throw error instanceof ExpectationFailed ? saysAlso(error, await this.#wire()) : error;
    }
  }

  async #wire() {
    const text = await this.#api.text(`${this.#path}/timeline`).catch(() => undefined);
    if (text === undefined) return "";
    const lines = text.split("\n").filter(Boolean);
    if (lines.length === 0) return "\n  no client came";
    const earlier = lines.length - ENTRIES_SHOWN;
    const shown = earlier > 0 ? [`(${earlier} earlier entries)`, ...lines.slice(earlier)] : lines;
    return `\n  what ${this.name} saw:${shown.map((line) => `\n    ${line}`).join("")}`;
  }

  #hub(hub) {
    if (!hub) {
      const hubs = Object.keys(this.connectionStrings).join(", ") || "none";
      throw ofTheTest(new EventHubsError(`a hub has a name, and this is '${hub ?? ""}'; the hubs of ${this.name} are: ${hubs}`));
    }
    return `${this.#path}/hubs/${encodeURIComponent(hub)}`;
  }
}

// Not every Node.js 20 has the symbol.
if (Symbol.asyncDispose) {
  Space.prototype[Symbol.asyncDispose] = function () {
    return this.close();
  };
}

class Fault {
  #api;
  #path;
  #timeout;

  constructor(api, path, timeout) {
    this.#api = api;
    this.#path = path;
    this.#timeout = timeout;
  }

  async hits() {
    return (await this.#api.call("GET", this.#path)).hits;
  }

  async fired(hits = 1, options = {}) {
    const { timeout } = optionsOf("fired", options, "timeout");
    return (await this.#api.call("GET", this.#path, undefined, { hits, timeout: duration(timeout) ?? this.#timeout })).hits;
  }

  async remove() {
    return (await this.#api.call("DELETE", this.#path)).hits;
  }
}

/** Connection strings by hub. Of another hub there is none, which is said here: the SDK would only call undefined malformed. */
function byHub(strings) {
  const has = Object.keys(strings).join(", ") || "none";
  return new Proxy(strings, {
    get(target, name) {
      if (name in target || isNoHub(name)) return target[name];
      const how = `Hubs are named to useSpace or openSpace: { ${JSON.stringify(name)}: {} }`;
      throw ofTheTest(new EventHubsError(`there is no hub '${name}' in this test; it has: ${has}. ${how}`));
    },
  });
}

/** What await, JSON.stringify, and the comparisons and printers of test runners look for in any object. */
const isNoHub = (name) => typeof name === "symbol" || /^([^A-Za-z0-9].*|then|toJSON|asymmetricMatch|nodeType|tagName)$/.test(name);

/** Milliseconds, as everywhere in Node.js, or a text like "5s", as the broker reads it. */
const duration = (value) => (typeof value === "number" ? `${value}ms` : value);

module.exports = { openSpace, SPACE_OPTIONS };
