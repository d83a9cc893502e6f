// Jest with ES modules, which it calls experimental.
import { expect, jest, test } from "@jest/globals";
import { ExpectationFailed } from "@evhub/testing";
import { useSpace } from "@evhub/testing/jest";

const eh = useSpace({ orders: {} });

test("fake timers and a replaced fetch do not matter", async () => {
  jest.useFakeTimers();
  globalThis.fetch = () => Promise.reject(new Error("no network in tests"));
  await eh.publish("orders", { body: { ID: "7" } });
  await eh.expect("orders", { body: { ID: "7" } });
  const error = await eh.expect("orders", {}, { count: 0 }).catch((error) => error);
  expect(error).toBeInstanceOf(ExpectationFailed);
  jest.useRealTimers();
});
