"use strict";

const { EventHubProducerClient } = require("@azure/event-hubs");

/** What the tests test: it publishes orders, with the official client. */
class Notifier {
  constructor(connectionString) {
    this.client = new EventHubProducerClient(connectionString, { retryOptions: { maxRetries: 3, retryDelayInMs: 20 } });
  }

  async send(order) {
    await this.client.sendBatch([{ body: order, messageId: `order-${order.ID}` }], { partitionKey: order.ID });
  }

  async close() {
    await this.client.close();
  }
}

/** Runs with a notifier that is closed behind it. */
async function withNotifier(connectionString, run) {
  const notifier = new Notifier(connectionString);
  try {
    return await run(notifier);
  } finally {
    await notifier.close();
  }
}

module.exports = { Notifier, withNotifier };
