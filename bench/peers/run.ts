/**
 * Times one product in sidenet, jax-js and TensorFlow.js (webgpu), in turn, in one process on one adapter; then a tower and a whole
 * network in sidenet, onnxruntime (CPU) and onnxruntime-web (webgpu), in a process of their own.
 *
 *     deno run -A bench/peers/run.ts [--json]
 *
 * The peers are installed from npm into this folder at the first run. The timing itself runs in a child process,
 * because this folder resolves packages from its own `node_modules`.
 */

import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));

async function deno(args: string[], stdout: "inherit" | "null"): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), { args, cwd: here, stdin: "null", stdout }).spawn();
  return (await child.status).code;
}

const PACKAGES = [
  "@jax-js/jax",
  "@tensorflow/tfjs-backend-webgpu",
  "onnxruntime-node",
  "onnxruntime-web",
];

async function isInstalled(): Promise<boolean> {
  try {
    for (const name of PACKAGES) await Deno.stat(new URL(`./node_modules/${name}`, import.meta.url));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

if (!(await isInstalled()) && await deno(["install", "--quiet"], "null") !== 0) {
  throw new Error("Cannot time peers: the packages of bench/peers/package.json must be installable from npm");
}
for (const script of ["time_peers.ts", "time_models.ts"]) {
  const code = await deno(["run", "-A", script, ...Deno.args], "inherit");
  if (code !== 0) Deno.exit(code);
}
