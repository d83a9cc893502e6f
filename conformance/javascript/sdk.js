// The SDK, from the directory where it was installed, and readers.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const directory = process.argv[2];
const installed = createRequire(join(directory, "package.json"));
const sdk = installed("@azure/event-hubs");
const within = createRequire(installed.resolve("@azure/event-hubs"));

export const { EventHubProducerClient, EventHubBufferedProducerClient, EventHubConsumerClient, CloseReason } = sdk;
export const { earliestEventPosition: EARLIEST, latestEventPosition: LATEST } = sdk;
export const { ConditionErrorNameMapper: CODES } = within("@azure/core-amqp"); // what the SDK makes of a condition
export const { types } = within("rhea-promise"); // how the SDK is told an AMQP type

export const { version: VERSION } = JSON.parse(readFileSync(join(directory, "node_modules/@azure/event-hubs/package.json"), "utf8"));

export const SECONDS_MAX = 30; // for anything that must happen

/** Text as an event. The SDK would make JSON of a string. */
export function event(text, more = {}) {
  return { body: Buffer.from(text), ...more };
}

/** One subscription of a consumer client, and all that came of it so far. Bodies stay as they were sent. */
export class Reader {
  events = [];
  partitions = []; // of events, one for one
  batches = []; // sizes of what came at once; 0 is a wait that ended without events
  errors = [];
  closed = []; // partitions that are no longer read, and why
  context; // of the last call
  #client;
  #subscription;
  #waiting = new Set();
  #held = Promise.resolve();
  #letGo = () => {};

  constructor(client, partition, options) {
    const handlers = {
      processEvents: async (events, context) => this.#arrived(events, context),
      processError: async (error) => this.#note(this.errors, error),
      processClose: async (reason, context) => this.#note(this.closed, [context.partitionId, reason]),
    };
    const subscribe = partition === undefined ? [handlers] : [partition, handlers];
    this.#client = client;
    this.#subscription = client.subscribe(...subscribe, { skipParsingBodyAsJson: true, ...options });
  }

  async #arrived(events, context) {
    this.events.push(...events);
    this.partitions.push(...events.map(() => context.partitionId));
    this.context = context;
    this.#note(this.batches, events.length);
    await this.#held;
  }

  #note(list, entry) {
    list.push(entry);
    for (const look of [...this.#waiting]) look();
  }

  get bodies() {
    return this.events.map((e) => e.body.toString());
  }

  get numbers() {
    return this.events.map((e) => e.sequenceNumber);
  }

  of(partition) {
    return this.bodies.filter((_, i) => this.partitions[i] === partition);
  }

  /** From now on no call to the handler returns, until letGo. */
  hold() {
    this.#held = new Promise((resolve) => (this.#letGo = resolve));
  }

  letGo() {
    this.#held = Promise.resolve();
    this.#letGo();
  }

  /** Waits for a condition. An error of the SDK ends the wait, unless the condition is met by then or errors are expected. */
  async until(done, what, { errors = false, seconds = SECONDS_MAX } = {}) {
    let timer;
    let look;
    try {
      await new Promise((resolve, reject) => {
        look = () => {
          if (done()) resolve();
          else if (this.errors.length && !errors) reject(new Error(`waiting for ${what}, the SDK reported`, { cause: this.errors[0] }));
        };
        const late = () => reject(new Error(`no ${what} in ${seconds} s; ${this.events.length} events: ${this.bodies}`.slice(0, 600)));
        timer = setTimeout(late, seconds * 1000);
        this.#waiting.add(look);
        look();
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  /** The first events, when there are so many. */
  async take(count) {
    await this.until(() => this.events.length >= count, `${count} events`);
    return this.events.slice(0, count);
  }

  /** The first error. */
  async error() {
    await this.until(() => this.errors.length > 0, "error", { errors: true });
    return this.errors[0];
  }

  async close() {
    this.letGo();
    await this.#subscription.close();
    await this.#client.close();
  }
}
