import { spawn } from "node:child_process";
import { once } from "node:events";

/** Runs Node.js with these arguments, and this environment beside the present one. */
export async function run(args, environment = {}) {
  const { NODE_TEST_CONTEXT, ...env } = { ...process.env, ...environment }; // it would have a test of a test speak to the outer one
  const child = spawn(process.execPath, args, { env });
  child.stdin.end();
  const [out, err] = await Promise.all([child.stdout.toArray(), child.stderr.toArray(), once(child, "close")]);
  return { code: child.exitCode, out: out.join("").trim(), err: err.join("") };
}
