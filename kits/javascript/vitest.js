import { afterAll, afterEach, beforeEach } from "vitest";
import { spaceHooks } from "./lib/index.cjs";

export const useSpace = spaceHooks({
  beforeEach: (open) => beforeEach(() => open()), // what a hook returns is called by Vitest: nothing is
  afterEach: (close) => afterEach(({ task }) => close(task.result?.state === "fail")),
  afterAll: (stop) => afterAll(() => stop()),
});
