// Cases about what an event carries.

import { NotApplicable, equal } from "./harness.js";
import { event, types } from "./sdk.js";

const MOMENT = new Date("2024-02-29T12:34:56.789Z");
const IDENTITY = Buffer.from("00112233445566778899aabbccddeeff", "hex");
const ULONG_MAX = Buffer.from("ffffffffffffffff", "hex");
const LONG_MIN = Buffer.from("8000000000000000", "hex");
const DECIMAL = Buffer.from("b03e000000000000000000000000007d", "hex"); // -12.5

const PLAIN_PROPERTIES = {
  "string": "text",
  "string, empty": "",
  "string, beyond ASCII": "ünïcödé 日本語 🚀",
  "string, long": "x".repeat(1000),
  "binary": Buffer.from([0, 255]),
  "true": true,
  "false": false,
  "number, zero": 0,
  "number, small": 7,
  "number, negative": -7,
  "number, least of 32 bits": -(2 ** 31),
  "number, greatest of 32 bits": 2 ** 32 - 1,
  "number, least of 53 bits": Number.MIN_SAFE_INTEGER,
  "number, greatest of 53 bits": Number.MAX_SAFE_INTEGER,
  "double": 3.25,
  "time": MOMENT,
  "null": null,
};
// As what AMQP type a value is sent, and the value.
const TYPED_PROPERTIES = {
  "ubyte": [types.wrap_ubyte, 255],
  "ushort": [types.wrap_ushort, 65535],
  "uint": [types.wrap_uint, 2 ** 32 - 1],
  "ulong": [types.wrap_ulong, 2 ** 40],
  "ulong, greatest": [types.wrap_ulong, ULONG_MAX],
  "byte": [types.wrap_byte, -128],
  "short": [types.wrap_short, -32768],
  "int": [types.wrap_int, 2 ** 31 - 1],
  "long": [types.wrap_long, -(2 ** 40)],
  "long, least": [types.wrap_long, LONG_MIN],
  "float": [types.wrap_float, 0.5],
  "double": [types.wrap_double, 1],
  "double, great": [types.wrap_double, 1.5e308],
  "char": [types.wrap_char, 0x1f680],
  "time before 1970": [types.wrap_timestamp, -1, new Date(-1)],
  "uuid": [types.wrap_uuid, IDENTITY],
  "symbol": [types.wrap_symbol, "sym"],
  "decimal128": [types.Decimal128, DECIMAL],
};

const MESSAGE_PROPERTIES = {
  messageId: "id 1", to: "to", subject: "subject", replyTo: "reply", correlationId: "correlation", contentType: "application/json",
  contentEncoding: "utf-8", absoluteExpiryTime: MOMENT.getTime() + 60_000, creationTime: MOMENT.getTime(), groupId: "group",
  groupSequence: 7, replyToGroupId: "reply group",
};

export const events = {
  async "property-types"(s) {
    const sent = { ...PLAIN_PROPERTIES };
    const want = { ...PLAIN_PROPERTIES };
    for (const [name, [typed, value, received = value]] of Object.entries(TYPED_PROPERTIES)) {
      sent[`as ${name}`] = typed(value);
      want[`as ${name}`] = received;
    }
    for (const got of await roundTrip(s, event("", { properties: sent }))) {
      const received = got.getRawAmqpMessage().applicationProperties; // in got.properties the SDK makes plain objects of binaries
      for (const [name, value] of Object.entries(want)) equal(name, received[name], value);
      equal("names", Object.keys(received), Object.keys(want));
      equal("a property", [got.properties.string, got.properties.time], ["text", MOMENT.getTime()]);
    }
  },

  async "body-data"(s) {
    const bodies = [Buffer.from(Array.from({ length: 256 }, (_, i) => i)), Buffer.from("ünïcödé 日本語 🚀"), Buffer.alloc(0),
      Buffer.alloc(255, "x"), Buffer.alloc(256, "x")];
    const values = ["ünïcödé 日本語 🚀", { nested: [1, "two", null] }, 42, ""]; // of these the SDK makes JSON
    const got = await roundTrip(s, ...bodies.map((body) => ({ body })), ...values.map((body) => ({ body })));
    const want = [...bodies, ...values.map((value) => Buffer.from(JSON.stringify(value)))];
    equal("bodies", got.map((e) => e.body), [...want, ...want]);
  },

  async "body-several-data"() {
    throw new NotApplicable("the SDK writes one data section, whatever the body is");
  },

  // The SDK writes one sequence section.
  async "body-sequence"(s) {
    const bodies = [["one", 2, null, true], [[1, "two"], 4.5, Buffer.from("six")], []];
    const got = await roundTrip(s, ...bodies.map((body) => ({ body, bodyType: "sequence" })));
    equal("types", new Set(got.map(bodyType)), new Set(["sequence"]));
    equal("bodies", got.map((e) => e.body), [...bodies, ...bodies]);
  },

  // A binary is left out: the SDK takes it for a data section when it arrives.
  async "body-value"(s) {
    const bodies = ["text", 42, true, 2.5, { key: "value", nested: { list: [1, "two", null] } }, ["a", ["b", [3]]], {}];
    const got = await roundTrip(s, ...bodies.map((body) => ({ body, bodyType: "value" })));
    equal("types", new Set(got.map(bodyType)), new Set(["value"]));
    equal("bodies", got.map((e) => e.body), [...bodies, ...bodies]);
  },

  // The thirteenth property, the user id, cannot be given to the SDK.
  async "annotated-message"(s) {
    const message = {
      body: Buffer.from("body"),
      bodyType: "data",
      header: { durable: true, priority: 10, firstAcquirer: true, deliveryCount: 3 },
      properties: MESSAGE_PROPERTIES,
      applicationProperties: { application: "property", number: 1 },
      messageAnnotations: { ann_key: "annotation", ann_number: 2 },
      deliveryAnnotations: { delivery: "annotation" },
      footer: { footer: "value", number: 3 },
    };
    for (const got of await roundTrip(s, message)) {
      const raw = got.getRawAmqpMessage();
      equal("header", raw.header, { timeToLive: 60_000 }); // this the SDK reckons from two of the properties
      equal("properties", raw.properties, MESSAGE_PROPERTIES);
      equal("application properties", raw.applicationProperties, message.applicationProperties);
      const own = Object.entries(raw.messageAnnotations).filter(([name]) => !name.startsWith("x-opt-"));
      equal("annotations", Object.fromEntries(own), message.messageAnnotations);
      equal("delivery annotations", raw.deliveryAnnotations, undefined); // they are the sender's word to the next hop
      equal("footer", raw.footer, message.footer);
      equal("body", [got.body, bodyType(got)], [message.body, "data"]);
      equal("shown", [got.messageId, got.contentType, got.correlationId], ["id 1", "application/json", "correlation"]);
    }
  },
};

/** Sends each event singly and all of them in a batch; gives what arrived in this order. */
async function roundTrip(s, ...sent) {
  const producer = s.producer();
  for (const one of sent) {
    const batch = await producer.createBatch({ partitionId: "0" });
    batch.tryAdd(one);
    await producer.sendBatch(batch);
  }
  await producer.sendBatch(sent, { partitionId: "0" });
  return s.reader("0").take(2 * sent.length);
}

function bodyType(got) {
  return got.getRawAmqpMessage().bodyType;
}
