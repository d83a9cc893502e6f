"use strict";

// One broker for all workers of Jest or Vitest, which find it by EVHUBTEST_URL. Vitest calls what it is given at the end; with Jest the broker
// ends when Jest does.

const { startServer } = require("./server.cjs");

module.exports = async function setup() {
  if (process.env.EVHUBTEST_URL) return () => {};
  const server = await startServer();
  process.env.EVHUBTEST_URL = server.url;
  return async () => {
    delete process.env.EVHUBTEST_URL;
    await server.stop();
  };
};
