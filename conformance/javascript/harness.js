// What a case stands on: its hub, its clients, and the words to assert with.

import { setTimeout as sleep } from "node:timers/promises";
import { inspect, isDeepStrictEqual } from "node:util";

import { Path } from "./path.js";
import { CODES, EARLIEST, SECONDS_MAX, Reader, event } from "./sdk.js";
import { EventHubBufferedProducerClient, EventHubConsumerClient, EventHubProducerClient } from "./sdk.js";
import { Space } from "./space.js";

export const ONCE = { retryOptions: { maxRetries: 0 } };

/** The SDK cannot do what the case is about; says why. */
export class NotApplicable extends Error {}

/** One case: a hub of its own, and clients for it, which it closes at its end. */
export class Scene {
  #open = [];
  #admin;
  #proxy;

  constructor(plan, { id, hub, partitions, groups, credentials, answer }) {
    Object.assign(this, { id, hub, partitions, groups, credentials, answer });
    this.connection = plan.connectionString;
    this.idleTimeoutSeconds = plan.idleTimeoutSeconds; // as the broker tells it; it waits twice as long
    this.#admin = plan.admin;
    this.#proxy = plan.proxy;
  }

  producer({ connection = this.connection, hub = this.hub, ...options } = {}) {
    return this.#closing(new EventHubProducerClient(connection, hub, options));
  }

  buffered({ connection = this.connection, ...options }) {
    return this.#closing(new EventHubBufferedProducerClient(connection, this.hub, options));
  }

  /** A consumer client. A reader of it that lost its partition does not try again within the case. */
  consumer(group = "$Default", { connection = this.connection, hub = this.hub, store, ...options } = {}) {
    options = { loadBalancingOptions: { updateIntervalInMs: 300_000 }, ...options };
    const args = store ? [store, options] : [options];
    return this.#closing(new EventHubConsumerClient(group, connection, hub, ...args));
  }

  /** A reader with a consumer client of its own, of one partition or of all. Position null leaves it to the SDK. */
  reader(partition, position = EARLIEST, { group, client, ...options } = {}) {
    if (position !== null) options.startPosition = position;
    return this.#closing(new Reader(this.consumer(group, client), partition, { maxBatchSize: 100, ...options }));
  }

  /** A way to the broker that the case can break, with the connection string for it. */
  async path() {
    const path = await Path.open(this.#proxy);
    path.connection = this.connection.replace(/^Endpoint=sb:[^;]*/, `Endpoint=sb://${path.address}`);
    return path;
  }

  /** Makes the case's hub in a space of its own, where all that the case does takes place from now on. */
  async inSpace(act) {
    const space = await Space.open(this.#admin, this.hub, this.partitions.length, this.groups);
    this.connection = space.connection;
    let verify = false;
    try {
      await act(space);
      await this.close();
      verify = true;
    } finally {
      await space.delete({ verify });
    }
  }

  #closing(client) {
    this.#open.push(client);
    return client;
  }

  async close() {
    await Promise.allSettled(this.#open.splice(0).reverse().map((client) => client.close()));
  }

  /** Sends events one by one. */
  async send(bodies, partition = "0") {
    const producer = this.producer();
    for (const body of bodies) await producer.sendBatch([event(body)], { partitionId: partition });
    await producer.close();
  }

  /** Sends events one by one, no two in the same millisecond. */
  async sendApart(bodies, partition = "0") {
    const producer = this.producer();
    for (const body of bodies) {
      await producer.sendBatch([event(body)], { partitionId: partition });
      for (const sent = Date.now(); Date.now() <= sent; ) await sleep(1);
    }
  }

  /** Sends probe 0, 1, 2 .. until the reader gets one, since no SDK tells when a receiver at the end is attached. Gives its number. */
  async probe(reader, partition = "0") {
    const producer = this.producer();
    const deadline = Date.now() + SECONDS_MAX * 1000;
    for (let number = 0; !reader.events.length; number++) {
      equal("errors", reader.errors, []);
      check(Date.now() < deadline, `none of ${number} probes arrived`);
      await producer.sendBatch([event(`probe ${number}`)], { partitionId: partition });
      await sleep(20);
    }
    return Number(/^probe ([0-9]+)$/.exec(reader.bodies[0])?.[1] ?? -1);
  }

  /** Sees that a promise fails with the case's answer. */
  async refused(attempt) {
    this.isAnswer(await failure(attempt));
  }

  /** Compares an error with the case's answer. The SDK shows its own name for a condition; "not found" it tells by the text. */
  isAnswer(error) {
    const { condition, text } = this.answer;
    check(error.name === "MessagingError", `it is no MessagingError but ${inspect(error)}`);
    check(new RegExp(text).test(error.message), `the text is ${inspect(error.message)}`);
    equal("code", error.code, condition === "amqp:not-found" ? "MessagingEntityNotFoundError" : CODES[condition]);
  }
}

/** The error that a promise fails with. */
export async function failure(attempt) {
  let result;
  try {
    result = await attempt;
  } catch (error) {
    return error;
  }
  throw new Error(`it was not refused but gave ${inspect(result)}`);
}

export function equal(what, got, want) {
  check(isDeepStrictEqual(got, want), () => `${what} = ${brief(got)}, want ${brief(want)}`);
}

export function check(condition, otherwise) {
  if (!condition) throw new Error(typeof otherwise === "function" ? otherwise() : otherwise);
}

function brief(value) {
  const text = inspect(value, { depth: 6, maxArrayLength: 30, breakLength: 200 });
  return text.length < 600 ? text : `${text.slice(0, 400)} .. ${text.slice(-150)}`;
}
