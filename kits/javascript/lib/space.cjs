"use strict";

const { Api } = require("./api.cjs");
const { serverUrl } = require("./server.cjs");

const COUNT_MAX = 1_000_000; // the broker's own limit for a count

/** Makes a space. index.d.cts has the words for what is here. */
async function openSpace(hubs, options = {}) {
  const { seed, name, ttl = "12h", timeout = "5s", url, endpoint = process.env.EVHUBTEST_ENDPOINT } = options;
  const api = new Api(url ?? (await serverUrl()));
  const made = await api.call("POST", "/spaces", { name, hubs, seed, ttl }, { endpoint });
  return new Space(api, made, timeout);
}

class Space {
  #api;
  #path;
  #timeout;

  constructor(api, made, timeout) {
    this.#api = api;
    this.#path = `/spaces/${encodeURIComponent(made.space)}`;
    this.#timeout = duration(timeout);
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
    await this.#api.call("DELETE", this.#path, undefined, { verify: verify ? 1 : undefined });
  }

  #hub(hub) {
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
