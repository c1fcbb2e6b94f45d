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

/** Installs the packages. What Deno says meanwhile is of interest where it fails. */
async function install(): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet"],
    cwd: here,
    stdin: "null",
  }).output();
  if (success) return;
  const told = new TextDecoder().decode(stderr).trim();
  throw new Error(
    `Cannot time peers: the packages of bench/peers/package.json must be installable from npm: ${told}`,
  );
}

/** Runs a script with the packages of this folder, which is no member of the project's workspace: without that one's configuration. */
async function run(script: string): Promise<number> {
  const args = ["run", "-A", "--no-config", "--node-modules-dir=manual", script, ...Deno.args];
  const child = new Deno.Command(Deno.execPath(), { args, cwd: here, stdin: "null" }).spawn();
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

if (!(await isInstalled())) await install();
for (const script of ["time_peers.ts", "time_models.ts"]) {
  const code = await run(script);
  if (code !== 0) Deno.exit(code);
}
