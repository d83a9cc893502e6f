// Jest as it comes: CommonJS, with its globals.
const { useSpace } = require("@evhub/testing/jest");
const { withNotifier } = require("./notifier.cjs");

const eh = useSpace({ orders: { partitions: 4 } });
const orders = () => eh.connectionStrings.orders;

test("an order is published", async () => {
  await withNotifier(orders(), (notifier) => notifier.send({ ID: "7", State: "paid" }));
  const [event] = await eh.expect("orders", { subset: { ID: "7" } });
  expect(event).toMatchObject({ body: { ID: "7", State: "paid" }, key: "7", id: "order-7" });
});

test("a miss shows the nearest event", async () => {
  await eh.publish("orders", { body: { ID: "7", State: "open" }, partition: 1 });
  const missed = eh.expect("orders", { subset: { State: "paid" } }, { name: "paid", timeout: 20 });
  await expect(missed).rejects.toThrow(/^paid: want 1 event .*\n  nearest 1\/0: body\.State\n    - paid\n    \+ open$/m);
});

test("a throttled send is retried", async () => {
  const busy = await eh.fault("send", "throttle", { hub: "orders" });
  await withNotifier(orders(), (notifier) => notifier.send({ ID: "7" }));
  expect(await busy.fired()).toBe(1);
  await eh.expect("orders", { path: { ID: "7" } });
});

test("nothing is sent", async () => {
  await withNotifier(orders(), async () => {});
  expect(await eh.expect("orders", {}, { count: 0 })).toEqual([]);
});

test("connection strings", () => {
  expect(eh.connectionStrings).toEqual({ orders: expect.stringContaining("EntityPath=orders") });
  expect(() => expect(eh.connectionStrings).toEqual({ orders: "another" })).toThrow(/another/);
  expect(() => eh.connectionStrings.eh1).toThrow(/no hub 'eh1' in this test; it has: orders/);
});
