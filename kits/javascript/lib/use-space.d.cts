import type { Hubs, Space, SpaceOptions } from "./index.cjs";

/**
 * Gives each test of this file, or of this describe block, a space of its own, and closes it behind the test: a fault that never fired, or a link
 * that is still open, fails the test. What is returned is the space of the test that runs.
 *
 * Tests that run at the same time within a file need `openSpace` instead.
 */
export declare function useSpace(hubs: Hubs, options?: SpaceOptions & { verify?: boolean }): Space;
