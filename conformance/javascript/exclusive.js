// Cases about exclusive readers, which have an owner level.

import { ONCE, equal } from "./harness.js";
import { CloseReason } from "./sdk.js";

export const exclusive = {
  async "exclusive-evicts-shared"(s) {
    await s.send(["before"]);
    const shared = [s.reader("0"), s.reader("0")];
    for (const reader of shared) await reader.take(1);
    const thief = readerOfLevel(s, 1);
    await thief.take(1);
    for (const reader of shared) s.isAnswer(await reader.error());
    await receivesOn(s, thief);
  },

  "exclusive-stolen-by-higher": (s) => stolen(s, 1, 2),
  "exclusive-stolen-by-equal": (s) => stolen(s, 0, 0),
  "exclusive-refuses-lower": (s) => refused(s, 2, 1),

  async "exclusive-refuses-shared"(s) {
    await refused(s, 0, undefined);
    await s.reader("0").take(2);
  },
};

// A checkpoint store that keeps nothing. With it every reader is one of level 0; without it the SDK takes level 0 for none.
const STORE = {
  listOwnership: async () => [],
  claimOwnership: async () => [],
  updateCheckpoint: async () => {},
  listCheckpoints: async () => [],
};

function readerOfLevel(s, ownerLevel, client = {}) {
  return s.reader("0", undefined, { ownerLevel, client: ownerLevel === 0 ? { ...client, store: STORE } : client });
}

async function stolen(s, old, level) {
  await s.send(["before"]);
  const victim = readerOfLevel(s, old);
  await victim.take(1);
  const thief = readerOfLevel(s, level);
  await thief.take(1);
  s.isAnswer(await victim.error());
  await victim.until(() => victim.closed.length, "end of the victim", { errors: true });
  equal("closed", victim.closed, [["0", CloseReason.OwnershipLost]]);
  await receivesOn(s, thief);
  equal("the victim's events", victim.bodies, ["before"]);
}

async function refused(s, owner, level) {
  await s.send(["before"]);
  const reader = readerOfLevel(s, owner);
  await reader.take(1);
  const newcomer = readerOfLevel(s, level, ONCE);
  s.isAnswer(await newcomer.error());
  equal("the newcomer's events", newcomer.bodies, []);
  await receivesOn(s, reader);
  await reader.close();
}

async function receivesOn(s, reader) {
  await s.send(["after"]);
  await reader.take(2);
  equal("bodies", reader.bodies, ["before", "after"]);
}
