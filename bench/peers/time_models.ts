/**
 * The timing behind `run.ts` of whole networks: rounds of one clip here, in onnxruntime on the CPU and in onnxruntime-web on the same
 * adapter, of the same exported file; each keeps its best round. Outputs are compared before anything is timed. Weights are random.
 */

import { join } from "node:path";
import { openGpu } from "../../gpu/device.ts";
import { createPrng } from "../../lib/random.ts";
import { createModel, picturesOf } from "../../models/mod.ts";
import { SYSTEMS } from "../../models/registry.ts";
import { relativeDifference } from "../../train/export/check.ts";
import { exportClips } from "../../train/export/export_model.ts";
import { clipShape, FRAMES_INPUT, outputName } from "../../train/export/graphs.ts";
import type { OnnxRuntime } from "../../train/export/runtime.ts";
import { type Config, loadConfig } from "../../train/recipe/config.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { LocalDevice } from "../../train/runtime/device/device.ts";
import { Session } from "../../train/runtime/session.ts";
import { evaluationOptions } from "../../train/tasks/session_options.ts";

const ROUNDS = 3;
/** Largest difference between the engines, as a share of the largest value. */
const TOLERANCE = 1e-3;
/** Blocks and frames on a software adapter, where a whole network takes minutes: the products are those of full size. */
const SMALL = { layers: 2, frames: 2 };

/** The packages are found at run time, so that this file type-checks where they are not installed. */
// deno-lint-ignore no-explicit-any
const load = (name: string): Promise<any> => import(name);

/** One clip through an engine. */
interface Engine {
  readonly name: string;
  run(): Promise<Record<string, Float32Array>>;
}

/** The recipes that are timed: the tower alone, one frame, and the whole of a published network. */
async function recipes(isSoftware: boolean): Promise<[name: string, config: Config][]> {
  const layers = isSoftware ? SMALL.layers : 12;
  const tower = ["precision=f32", "network.weights=null", "network.arch=custom"].concat(
    `network.backbone={image_size: 224, patch_size: 16, width: 768, layers: ${layers}, heads: 12}`,
  );
  const recipe = async (path: string, overrides: string[]) =>
    (await loadConfig(new URL(`../../${path}`, import.meta.url).pathname, [...tower, ...overrides])).config;
  const published = SYSTEMS.find(({ example }) => example !== undefined)!.example!;
  return [
    ["tower", await recipe("configs/demo_clip.yaml", ["network.init=false", "data.num_segments=1"])],
    ["model", await recipe(published, isSoftware ? [`data.num_segments=${SMALL.frames}`] : [])],
  ];
}

async function onnxruntime(path: string, input: Float32Array, shape: number[]): Promise<Engine> {
  const { InferenceSession, Tensor }: OnnxRuntime = await load("onnxruntime-node");
  const session = await InferenceSession.create(path, { executionProviders: ["cpu"] });
  const clip = new Tensor("float32", input, shape);
  return {
    name: "onnxruntime (CPU)",
    run: async () => valuesOf(await session.run({ [FRAMES_INPUT]: clip })),
  };
}

async function onnxruntimeWeb(path: string, input: Float32Array, shape: number[]): Promise<Engine> {
  const web = await load("onnxruntime-web/webgpu");
  web.env.logLevel = "error";
  web.env.wasm.numThreads = 1;
  const providers = { executionProviders: ["webgpu"] };
  const session = await web.InferenceSession.create(await Deno.readFile(path), providers);
  const clip = new web.Tensor("float32", input, shape);
  return {
    name: "onnxruntime-web (webgpu)",
    run: async () => valuesOf(await session.run({ [FRAMES_INPUT]: clip })),
  };
}

function valuesOf(outputs: Record<string, { data: unknown }>): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]),
  );
}

function compare(
  name: string,
  ours: Record<string, Float32Array>,
  theirs: Record<string, Float32Array>,
): void {
  for (const [output, values] of Object.entries(ours)) {
    const difference = relativeDifference(theirs[outputName(output)], [values]);
    if (!(difference <= TOLERANCE)) {
      throw new Error(
        `Cannot compare with ${name}: ${output} must be equal, current values differ by ${difference}`,
      );
    }
  }
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}

const folder = await Deno.makeTempDir({ prefix: "sidenet-peers-" });
try {
  const { isSoftware } = await openGpu();
  for (const [name, config] of await recipes(isSoftware)) {
    const gpu = await openGpu(), model = createModel(modelSpec(config)), device = new LocalDevice(gpu);
    const options = evaluationOptions(config, { clips: 1, largestFrame: { width: 224, height: 224 } });
    await using session = await Session.open(device, model, { ...options, limits: device.info.limits });
    await session.initialise(config.seed);
    const graph = { dtype: "f32", withPreprocessing: false } as const, path = join(folder, `${name}.onnx`);
    await exportClips(session, { ...graph, out: path });
    const prng = createPrng(1), shape = [1, ...clipShape(model, graph)], { backbone, frames } = model.config;
    const size = shape.reduce((product, each) => product * each, 1);
    const input = Float32Array.from({ length: size }, () => prng.normal());
    const engines: Engine[] = [
      { name: "sidenet", run: () => session.evaluateFrames(input.slice(), 1) },
      await onnxruntime(path, input, shape),
      await onnxruntimeWeb(path, input, shape),
    ];
    const outputs: Record<string, Float32Array>[] = [];
    for (const engine of engines) outputs.push(await engine.run());
    engines.slice(1).forEach((engine, i) => compare(engine.name, outputs[0], outputs[i + 1]));
    const best = engines.map(() => Infinity);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, engine] of engines.entries()) {
        const started = performance.now();
        await engine.run();
        best[i] = Math.min(best[i], performance.now() - started);
      }
    }
    const blocks = `${backbone.layers} block${backbone.layers === 1 ? "" : "s"}`;
    const what = `${name} ${picturesOf(model)}x3x${backbone.imageSize}x${backbone.imageSize} ${blocks} f32`;
    for (const [i, engine] of engines.entries()) {
      const ms = Number(best[i].toFixed(2)), ratio = Number((best[i] / best[0]).toFixed(2));
      if (!Deno.args.includes("--json")) {
        print(
          `${what.padEnd(38)}${engine.name.padEnd(26)}${ms.toFixed(1).padStart(9)} ms  ratio ${
            ratio.toFixed(2)
          }`,
        );
      } else if (i > 0) print(JSON.stringify({ name: what, peer: engine.name, ms, ratio }));
      else print(JSON.stringify({ name: what, variant: engine.name, frames, ms, adapter: gpu.name }));
    }
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
Deno.exit(0); // the peers keep their devices open
