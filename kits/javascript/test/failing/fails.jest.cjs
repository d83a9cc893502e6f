const { useSpace } = require("@evhub/testing/jest");

const eh = useSpace({ orders: {} });

test("misses", async () => {
  await eh.publish("orders", { body: { State: "open" } });
  await eh.expect("orders", { subset: { State: "paid" } }, { timeout: 10 });
});

test("waits as long as it does without further words", async () => {
  await eh.expect("orders", { key: "late" });
});

test("leaves a fault", async () => {
  await eh.fault("send", "drop");
});
