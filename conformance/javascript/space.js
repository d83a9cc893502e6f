// A space of the broker's test kit. internal/admin/API.md says what each request does.

import { ask } from "./web.js";

const FIRE_SECONDS_MAX = 30;

/** A namespace with one hub, which has the space's name. */
export class Space {
  #url;
  #hub;

  static async open(admin, name, partitions, groups) {
    const made = await ask("POST", `${admin}/admin/v1/spaces`, { name, hubs: { [name]: { partitions, groups } } });
    const space = new Space();
    space.#url = `${admin}/admin/v1/spaces/${made.space}`;
    space.#hub = name;
    space.connection = made.connectionString;
    return space;
  }

  /** Lets so many operations pass, then meets so many. */
  async fault(op, type, { after = 0, times = 1, ...more } = {}) {
    const { fault } = await ask("POST", `${this.#url}/faults`, { on: { op, hub: this.#hub, after, times }, do: { type, ...more } });
    const url = `${this.#url}/faults/${fault}`;
    return {
      /** Waits until it has fired. */
      fired: () => ask("GET", `${url}?hits=1&timeout=${FIRE_SECONDS_MAX}s`),
      /** Gives how often it fired. */
      remove: async () => (await ask("DELETE", url)).hits,
    };
  }

  /** Stores events in partition 0, past all faults. */
  async publish(...bodies) {
    await ask("POST", `${this.#url}/hubs/${this.#hub}/events`, bodies.map((text) => ({ text, partition: 0 })));
  }

  /** The bodies of all events of the hub. */
  async stored() {
    const { events } = await ask("GET", `${this.#url}/hubs/${this.#hub}/events?count=0`);
    return events.map(({ text }) => text);
  }

  /** With verify it fails if a fault never fired, or if a link stays open. */
  async delete({ verify }) {
    await ask("DELETE", this.#url + (verify ? "?verify=1&timeout=5s" : ""));
  }
}
