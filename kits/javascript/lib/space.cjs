"use strict";

const path = require("node:path");
const { Api } = require("./api.cjs");
const { EventHubsError, ofTheTest } = require("./errors.cjs");
const { binaryAt, borrowServer } = require("./server.cjs");
const manifest = require("../package.json");

const COUNT_MAX = 1_000_000; // the broker's own limit for a count

/** Makes a space. index.d.cts has the words for what is here. */
async function openSpace(hubs, options = {}) {
  const url = options.url ?? (process.env.EVHUBTEST_URL || undefined);
  const server = url === undefined ? await borrowServer() : { url, giveBack: () => {} };
  try {
    return await makeSpace(server, hubs, options);
  } catch (error) {
    server.giveBack();
    throw error;
  }
}

async function makeSpace(server, hubs, { seed, name, ttl = "12h", timeout = "5s", endpoint = process.env.EVHUBTEST_ENDPOINT }) {
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
    this.connectionStrings = made.connectionStrings;
  }

  async mark() {
    return (await this.#api.call("POST", `${this.#path}/marks`)).mark;
  }

  async expect(hub, where, options = {}) {
    const { count = 1, name, since, timeout, order, unique, others, settle } = options;
    const expected = [where ?? {}].flat().map((one) => ({ name, where: one, count }));
    return this.#ask(hub, expected, { since, timeout, order, unique, others, settle: duration(settle) });
  }

  async events(hub, where = {}, { since } = {}) {
    return this.#ask(hub, [{ where, count: { min: 0, max: COUNT_MAX } }], { since });
  }

  async #ask(hub, expected, options) {
    const request = { ...options, timeout: duration(options.timeout) ?? this.#timeout, expect: expected };
    return (await this.#api.call("POST", `${this.#hub(hub)}/expect`, request)).events;
  }

  async publish(hub, ...events) {
    return (await this.#api.call("POST", `${this.#hub(hub)}/events`, events)).events;
  }

  async readers(hub, { count = 1, group = "$Default", timeout } = {}) {
    const query = { count, group, timeout: duration(timeout) ?? this.#timeout };
    return (await this.#api.call("GET", `${this.#hub(hub)}/readers`, undefined, query)).readers;
  }

  async fault(op, does, { optional = false, ...on } = {}) {
    const request = { on: { op, ...on }, do: typeof does === "string" ? { type: does } : does, optional };
    const made = await this.#api.call("POST", `${this.#path}/faults`, request);
    return new Fault(this.#api, `${this.#path}/faults/${made.fault}`, this.#timeout);
  }

  async timeline({ since } = {}) {
    return (await this.#api.call("GET", `${this.#path}/timeline`, undefined, { since })).timeline;
  }

  async links() {
    return (await this.#api.call("GET", `${this.#path}/links`)).links;
  }

  async close({ verify = true } = {}) {
    try {
      await this.#api.call("DELETE", this.#path, undefined, { verify: verify ? 1 : undefined });
    } finally {
      this.#giveBack();
    }
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

  async fired(hits = 1, { timeout } = {}) {
    return (await this.#api.call("GET", this.#path, undefined, { hits, timeout: duration(timeout) ?? this.#timeout })).hits;
  }

  async remove() {
    return (await this.#api.call("DELETE", this.#path)).hits;
  }
}

/** Milliseconds, as everywhere in Node.js, or a text like "5s", as the broker reads it. */
const duration = (value) => (typeof value === "number" ? `${value}ms` : value);

module.exports = { openSpace };
