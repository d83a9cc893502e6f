/** Hubs by name. Without partitions there is one. Groups are beside `$Default`. */
export type Hubs = Record<string, { partitions?: number; groups?: string[] }>;

/** Milliseconds, or a text like "500ms", "5s". */
export type Duration = number | string;

/** What holds for an event; all of it must. The words are those of the broker's HTTP interface. */
export interface Where {
  /** A JSON body with this value; order of members and form of numbers do not count. */
  body?: unknown;
  /** This text as the whole body. */
  text?: string;
  /** These bytes as the whole body. */
  base64?: string;
  /** A JSON body that has at least this; arrays have as many elements. */
  subset?: unknown;
  /** Values at paths of a JSON body: `{ "lines[0].sku": "x" }`. */
  path?: Record<string, unknown>;
  /** Application properties. */
  prop?: Record<string, unknown>;
  key?: string;
  partition?: string | number;
  cloudEvent?: { type?: string; source?: string };
}

/** Exactly so many, or a range: `min` is 0 and `max` without limit if left out. */
export type Count = number | { min?: number; max?: number };

/** An event as it is stored. Of `body` (if it is JSON), `text` and `base64` one is there. */
export interface StoredEvent {
  partition: string;
  sequence: number;
  offset: string;
  enqueuedAt: string;
  key?: string;
  id?: string;
  contentType?: string;
  props?: Record<string, unknown>;
  body?: any;
  text?: string;
  base64?: string;
}

/** An event to publish: exactly one of `body` (a JSON value), `text` and `base64`. */
export interface NewEvent {
  body?: unknown;
  text?: string;
  base64?: string;
  key?: string;
  partition?: number;
  id?: string;
  contentType?: string;
  props?: Record<string, string | number | boolean | null>;
}

export interface SpaceOptions {
  /** Chooses where sequence numbers begin, where events without key go first, and what faults with `prob` draw. */
  seed?: number;
  name?: string;
  /** Ends a space that nobody closes; "12h". */
  ttl?: string;
  /** How long to wait for what is expected; "4s", and 60 s at most. Jest and Vitest end a test after 5 s. */
  timeout?: Duration;
  /** The broker's admin port. Without it EVHUBTEST_URL, or a broker of this process. */
  url?: string;
  /** What connection strings shall call the broker, if its port is forwarded; EVHUBTEST_ENDPOINT. */
  endpoint?: string;
}

export interface ExpectOptions {
  /** 1. With 0 nothing that matches may come. */
  count?: Count;
  /** For the text of a failure. */
  name?: string;
  /** A mark; "m0", the beginning. */
  since?: string;
  timeout?: Duration;
  /** "partition": within a partition in the order of the wheres. */
  order?: "none" | "partition";
  /** Every event has another "id" (messageId, which the SDK does not set), "key", "body", "body.<path>" or "props.<name>"; one without fails. */
  unique?: string;
  /** "forbid": nothing else comes. */
  others?: "allow" | "forbid";
  /** How much longer nothing may come that breaks the rest. */
  settle?: Duration;
}

export type FaultOp = "connect" | "auth" | "attach" | "send" | "deliver" | "manage" | "any";

export type FaultType =
  | "throttle" | "reject" | "detach" | "close-connection" | "drop" | "ack-lost"
  | "blackhole" | "delay" | "expire-token" | "steal-epoch" | "redeliver";

export interface FaultOn {
  hub?: string;
  partition?: string;
  group?: string;
  /**
   * AMQP container id, the whole user agent, or one word of it, with * and ?. A client that connects belongs to no space yet: on a shared broker
   * a fault on connect without it also meets the clients of other tests.
   */
  client?: string;
  /** Lets so many pass; 0. */
  after?: number;
  /** Fires so often; 1, and -1 is until it is removed. */
  times?: number;
  prob?: number;
  /** It may stay unfired. */
  optional?: boolean;
}

export interface FaultDo {
  type: FaultType;
  condition?: string;
  text?: string;
  duration?: string;
  jitter?: string;
  level?: number;
  back?: number;
}

export interface Fault {
  /** How often it has fired. */
  hits(): Promise<number>;
  /** Waits until it has fired so often (1). Rejects at once if it never will. */
  fired(hits?: number, options?: { timeout?: Duration }): Promise<number>;
  /** Ends it, and gives how often it fired. Nobody misses it then. */
  remove(): Promise<number>;
}

/** A namespace with hubs that belong to one test. Methods reject with ExpectationFailed or EventHubsError. */
export interface Space {
  readonly name: string;
  /** Of the namespace. */
  readonly connectionString: string;
  /** By hub. A hub that is not there throws. */
  readonly connectionStrings: Record<string, string>;
  /** This moment, for `since`: events that are stored from now on are after it. */
  mark(): Promise<string>;
  /**
   * Waits for events and gives those that match. Without `where` any event counts; of several each is expected `count` times. Where something
   * must not come, the broker waits for all that is under way in it, and for `settle`.
   */
  expect(hub: string, where?: Where | Where[], options?: ExpectOptions): Promise<StoredEvent[]>;
  /**
   * What is stored and matches: everything that a client got acknowledged, and what the broker has received, on Linux down to bytes that it has
   * not read yet. It does not wait for more.
   */
  events(hub: string, where?: Where, options?: { since?: string }): Promise<StoredEvent[]>;
  /** Stores events, past all faults. */
  publish(hub: string, ...events: NewEvent[]): Promise<{ partition: string; sequence: number; offset: string }[]>;
  /** Waits until so many readers (1) of the group (`$Default`) are attached and wait for events: from then on they miss nothing. */
  readers(hub: string, options?: { count?: number; group?: string; timeout?: Duration }): Promise<number>;
  /** Has the broker do something to the next client that fits: `fault("send", "throttle", { times: 3 })`. */
  fault(op: FaultOp, does: FaultType | FaultDo, on?: FaultOn): Promise<Fault>;
  /** What clients did and what they were answered. */
  timeline(options?: { since?: string }): Promise<Record<string, unknown>[]>;
  /** The senders and readers that are attached. */
  links(): Promise<Record<string, unknown>[]>;
  /** Deletes the space. Rejects if a fault never fired or a link is still open, unless `verify` is false. */
  close(options?: { verify?: boolean }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Makes a space, on the broker of EVHUBTEST_URL, or on one that is started for this process. */
export declare function openSpace(hubs: Hubs, options?: SpaceOptions): Promise<Space>;

/** Gives useSpace for a test runner that has no entry of its own here. */
export declare function spaceHooks(hooks: {
  beforeEach(open: () => Promise<void>): void;
  afterEach(close: (failed?: boolean) => Promise<void>): void;
  afterAll(stop: () => Promise<void>): void;
}): (hubs: Hubs, options?: SpaceOptions & { verify?: boolean }) => Space;

/** Starts a broker, for a set-up that is run once before all workers. It ends with this process, or with stop. */
export declare function startServer(): Promise<{ url: string; pid: number; stop(): Promise<void> }>;

/** Ends the broker that openSpace has started in this process, if any, with the spaces on it. The next openSpace starts another. */
export declare function stopServer(): Promise<void>;

/** The broker refused a request, or there is none. `problem` is the broker's whole answer. */
export declare class EventHubsError extends Error {
  readonly problem: Record<string, any>;
}

/** What was expected did not come, or what must not come came. The message shows what came instead. */
export declare class ExpectationFailed extends Error {
  readonly problem: Record<string, any>;
}
