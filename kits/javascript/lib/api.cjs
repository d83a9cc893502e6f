"use strict";

// JSON over HTTP to a broker's test kit. The code of this package is CommonJS, since that is what Jest can load without experimental options;
// the ES modules beside it only give it on. It uses node:http and node:timers, which no test replaces by accident, and neither fetch nor
// global timers, which many do.

const http = require("node:http");

/** The broker refused a request, or there is none. `problem` is the broker's whole answer. */
class EventHubsError extends Error {
  constructor(text, problem = {}) {
    super(text);
    this.name = "EventHubsError";
    this.problem = problem;
  }
}

/** What was expected did not come, or what must not come came. The message shows what came instead. */
class ExpectationFailed extends Error {
  constructor(text, problem) {
    super(text);
    this.name = "ExpectationFailed";
    this.problem = problem;
  }
}

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
    const { status, text } = await this.#send(method, url, body === undefined ? undefined : JSON.stringify(body));
    if (status >= 400) throw ofTheTest(failure(status, text, `${method} ${url}`));
    return JSON.parse(text);
  }

  async #send(method, url, data) {
    try {
      return await send(method, url, data, this.auth);
    } catch (error) {
      throw ofTheTest(new EventHubsError(`no broker answers at ${this.url}: ${error.code ?? error.message}`));
    }
  }
}

function send(method, url, data, auth) {
  return new Promise((resolve, reject) => {
    const headers = { Accept: "application/json" };
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

function failure(status, text, request) {
  let problem;
  try {
    problem = JSON.parse(text);
  } catch {}
  if (typeof problem?.detail !== "string") {
    return new EventHubsError(`${request}: ${status}: this is not a broker with a test kit: ${text.slice(0, 200)}`);
  }
  if (status === 417) return new ExpectationFailed(problem.text ?? problem.detail, problem);
  return new EventHubsError(problem.pointer ? `${problem.pointer}: ${problem.detail}` : problem.detail, problem);
}

/** Takes this package out of the stack, so that runners point at the test's own line. */
function ofTheTest(error) {
  error.stack = error.stack
    .split("\n")
    .filter((line) => !(line.startsWith("    at ") && line.includes(__dirname)))
    .join("\n");
  return error;
}

module.exports = { Api, EventHubsError, ExpectationFailed };
