// Compiled, and not run: the declarations allow what the READMEs show, and nothing that the broker would refuse.
import { openSpace, type Fault, type StoredEvent } from "@evhub/testing";
import { useSpace } from "@evhub/testing/vitest";
import { useSpace as useInNode } from "@evhub/testing/node";
import setup from "@evhub/testing/global-setup";

const eh = useSpace({ orders: { partitions: 4, groups: ["audit"] } }, { seed: 7, verify: false });
const events: StoredEvent[] = await eh.expect("orders", [{ subset: { ID: "7" } }, { path: { n: 1 } }], { count: { min: 1 }, order: "partition" });
const busy: Fault = await eh.fault("send", { type: "delay", duration: "1s" }, { times: -1, optional: true });
await using other = await openSpace({ orders: {} });
await other.publish("orders", { body: events[0].body, props: { n: 1 } }, { text: "x", partition: 0 });
const stop: () => Promise<void> | void = await setup();
useInNode({});

// @ts-expect-error there is no such fault
await eh.fault("send", "thottle");
// @ts-expect-error
await eh.expect("orders", { subzet: {} });

export { busy, stop };
