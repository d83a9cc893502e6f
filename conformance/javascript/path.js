// A path to the broker that a case can break. runner/proxy.py says what each request does.

import { setTimeout as sleep } from "node:timers/promises";

import { ask } from "./web.js";

export class Path {
  #url;

  /** Opens a path of the proxy whose control address is given. */
  static async open(control) {
    const path = new Path();
    const { id, address } = await ask("POST", `${control}/paths`);
    path.#url = `${control}/paths/${id}`;
    path.address = address;
    return path;
  }

  // Each gives who ended each connection so far; "" for one that is open.
  cut = () => this.#ends("cut");
  mend = () => this.#ends("mend");
  stall = (sender) => this.#ends(`stall/${sender}`);
  resume = () => this.#ends("resume");
  ends = () => this.#ends();

  async #ends(deed) {
    const { connections } = await (deed ? ask("POST", `${this.#url}/${deed}`) : ask("GET", this.#url));
    return connections.map(({ endedBy }) => endedBy);
  }

  /** Waits until ended(ends) is true. */
  async until(ended, what, seconds) {
    const deadline = Date.now() + seconds * 1000;
    for (let ends = await this.ends(); !ended(ends); ends = await this.ends()) {
      if (Date.now() > deadline) throw new Error(`no ${what} in ${seconds} s; connections ended by ${JSON.stringify(ends)}`);
      await sleep(100);
    }
  }
}
