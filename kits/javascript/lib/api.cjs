"use strict";

// JSON over HTTP to a broker's test kit. The code of this package is CommonJS, since that is what Jest can load without experimental options;
// the ES modules beside it only give it on. It uses node:http and node:timers, which no test replaces by accident, and neither fetch nor
// global timers, which many do.

const http = require("node:http");
const { EventHubsError, ExpectationFailed, ofTheTest } = require("./errors.cjs");
const { obituary } = require("./server.cjs");

/** A broker by the URL of its admin port, which may have a policy's name and key before the host. */
class Api {
  constructor(url) {
    const parsed = URL.canParse(url) ? new URL(url) : {};
    if (parsed.protocol !== "http:" || !parsed.hostname) {
      throw new EventHubsError(`'${url}' is not a broker's URL; it must look like http://127.0.0.1:5300`);
    }
    this.url = parsed.origin;
    this.auth = parsed.username ? `${decodeURIComponent(parsed.username)}:${decodeURIComponent(parsed.password)}` : undefined;
  }

  /** The answer to a request under /admin/v1. Of the query what is undefined is left out. */
  async call(method, path, body, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const url = `${this.url}/admin/v1${path}${given.length ? "?" + new URLSearchParams(given) : ""}`;
    const { status, text } = await this.#send(method, url, "application/json", body === undefined ? undefined : JSON.stringify(body));
    const answer = parsedObject(text);
    if (status < 300 && answer) return answer;
    if (status < 300 || typeof answer?.detail !== "string") {
      const shown = JSON.stringify(text.slice(0, 200));
      throw ofTheTest(new EventHubsError(`${method} ${url}: ${status}: this is not a broker with a test kit: ${shown}`));
    }
    throw ofTheTest(failure(status, answer));
  }

  /** The answer to a GET, as text for people; undefined if it is refused. */
  async text(path) {
    const { status, text } = await this.#send("GET", `${this.url}/admin/v1${path}`, "text/plain");
    return status < 300 ? text : undefined;
  }

  async #send(method, url, accept, data) {
    try {
      return await send(method, url, accept, data, this.auth);
    } catch (error) {
      const end = await obituary(this.url);
      throw ofTheTest(new EventHubsError(`no broker answers at ${this.url}: ${error.code ?? error.message}${end && ". "}${end}`));
    }
  }
}

function send(method, url, accept, data, auth) {
  return new Promise((resolve, reject) => {
    const headers = { Accept: accept };
    if (data !== undefined) Object.assign(headers, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(data) });
    const request = http.request(url, { method, headers, auth, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part) => (text += part));
      answer.on("end", () => resolve({ status: answer.statusCode, text }));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(data);
  });
}

function parsedObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function failure(status, problem) {
  const { detail, text, pointer = "" } = problem;
  if (status === 417) return new ExpectationFailed(text ?? detail, problem);
  return new EventHubsError(detail.startsWith(pointer) ? detail : `${pointer}: ${detail}`, problem);
}

module.exports = { Api };
