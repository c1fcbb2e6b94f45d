/** onnxruntime for Node.js, where it is: an engine of others to judge exported files by. It is large, and not installed with sidenet. */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../lib/errors.ts";

/** The version that exported files are checked with. */
const PACKAGE = "onnxruntime-node@1.27.0";
/** A folder of its own beside the packages of sidenet, where its native code may be loaded. */
const FOLDER = new URL("../../node_modules/.onnxruntime/", import.meta.url);

/** A tensor of onnxruntime. */
export interface RuntimeTensor {
  readonly data: Float32Array | Uint8Array | BigInt64Array;
  readonly dims: readonly number[];
}

/** A loaded file. */
export interface RuntimeSession {
  run(inputs: Readonly<Record<string, RuntimeTensor>>): Promise<Record<string, RuntimeTensor>>;
  release(): Promise<void>;
}

/** The parts of the package that are used. */
export interface OnnxRuntime {
  readonly Tensor: new (type: string, data: RuntimeTensor["data"], dims: readonly number[]) => RuntimeTensor;
  readonly InferenceSession: {
    create(path: string, options: { executionProviders: readonly string[] }): Promise<RuntimeSession>;
  };
}

/** The package; null where it is not installed. */
export function findRuntime(): OnnxRuntime | null {
  const require = createRequire(new URL("package.json", FOLDER));
  try {
    require.resolve("onnxruntime-node");
  } catch {
    return null;
  }
  return require("onnxruntime-node");
}

/** The package. @throws {ConfigError} saying how to install it */
export function openRuntime(path: string): OnnxRuntime {
  const runtime = findRuntime();
  if (runtime !== null) return runtime;
  throw new ConfigError(
    `Cannot check "${path}": onnxruntime must be installed (260 MB); ` +
      `npm install --prefix "${fileURLToPath(FOLDER)}" --ignore-scripts ${PACKAGE}`,
  );
}
