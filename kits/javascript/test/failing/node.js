import { test } from "node:test";
import { useSpace } from "@evhub/testing/node";

const eh = useSpace({ orders: {} });

test("misses", async () => {
  await eh.fault("send", "throttle"); // not told as well: the test has failed before it could fire
  await eh.publish("orders", { body: { State: "open" } });
  await eh.expect("orders", { subset: { State: "paid" } }, { timeout: 10 });
});

test("waits as long as it does without further words", async () => {
  await eh.expect("orders", { key: "late" });
});

test("leaves a fault", async () => {
  await eh.fault("send", "drop");
});
