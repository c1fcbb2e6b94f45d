/**
 * Measures how fast a checkpoint of 350 MB gets from disk into GPU buffers, beside the rate of plainly reading the file.
 *
 *     deno run -A bench/checkpoint.ts [--json] [FILE]
 *
 * FILE is any checkpoint; without one, two files of a PyTorch archive are made in a temporary folder: a ViT-B/16 in f32, read
 * into f32 buffers, and half of a ViT-L/14 in f16, read into f16 buffers. A file that was just written is read from the
 * page cache: for the disk's own rate, name a file that was not read since the machine started.
 */
import { encodeTorch, stateDict } from "../data/checkpoint/torch_write.ts";
import { type Dtype, DTYPE_BYTES, elementsOf } from "../data/checkpoint/dtype.ts";
import { openWeights } from "../data/checkpoint/open.ts";
import { fileRange, writeFileWhole } from "../data/files.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { Layout } from "../gpu/layout.ts";
import { Runtime } from "../gpu/runtime.ts";
import { encodeValues } from "../gpu/values.ts";
import { resident, type Tensor } from "../gpu/graph.ts";
import { createPrng } from "../lib/random.ts";
import { VIT_PRESETS } from "../models/clip/tower.ts";
import { FrozenVit } from "../models/clip/vit.ts";
import { Weights } from "../models/params.ts";
import type { TowerSizes } from "../models/tower.ts";
import type { Measurement } from "./matmul.ts";

/** Tensors read ahead of the one that is uploaded. */
const AHEAD = 1;
/** Uploaded between submissions: on llvmpipe 16 MB gave 950 MB/s, 64 MB 700, all at once 650 (2 cores, November 2026). */
const SUBMIT_BYTES = 2 ** 24;
const PIECE_BYTES = 2 ** 23;
const REPEATS = 3;

/** Writes a tower's weights as a PyTorch file. Returns the file's size. */
async function writeTower(path: string, config: TowerSizes, dtype: Dtype): Promise<void> {
  const weights = new Weights();
  new FrozenVit(weights, config, { dtype: "f32" });
  const prng = createPrng(1);
  const noise = Uint8Array.from({ length: 2 ** 20 }, () => prng.integer(0x3c)); // small positive numbers as f16 and f32
  await writeFileWhole(
    path,
    encodeTorch(stateDict(weights.list.map(({ name, shape }) => ({
      name,
      dtype,
      shape,
      read() {
        const bytes = new Uint8Array(elementsOf(shape) * DTYPE_BYTES[dtype]);
        for (let at = 0; at < bytes.length; at += noise.length) {
          bytes.set(noise.subarray(0, Math.min(noise.length, bytes.length - at)), at);
        }
        return Promise.resolve(bytes);
      },
    })))),
  );
}

/** Time of reading a file from its first byte to its last, in ms. */
async function readPlainly(path: string): Promise<number> {
  const started = performance.now();
  await using range = await fileRange(path);
  for (let at = 0; at < range.sizeBytes; at += PIECE_BYTES) {
    await range.read(at, Math.min(PIECE_BYTES, range.sizeBytes - at));
  }
  return performance.now() - started;
}

/** Time of opening a checkpoint and bringing every tensor into GPU buffers of its own type, in ms. */
async function upload(gpu: Gpu, path: string): Promise<number> {
  const started = performance.now();
  await using weights = await openWeights(path);
  const layout = new Layout(gpu), runtime = new Runtime(gpu);
  const targets = new Map<string, Tensor>();
  for (const name of weights.names()) {
    const stored = weights.dtypeOf(name);
    // Whole numbers stay on the host; what is neither f32 nor f16 widens.
    if (stored?.startsWith("I")) continue;
    targets.set(
      name,
      resident("frozen", name, [...weights.shapeOf(name)!], stored === "F16" ? "f16" : "f32"),
    );
  }
  layout.allocate("weights", targets.values());
  const { buffers } = layout;
  await runtime.load({ buffers, stream: null, programs: {}, readbackBytes: 0, frames: null, mix: null });
  const names = [...targets.keys()];
  const read = async (name: string) =>
    weights.dtypeOf(name) === "F16" ? toWords(await weights.readRaw(name)) : await weights.readF32(name);
  const pending = names.slice(0, AHEAD).map(read);
  let unsubmitted = 0;
  for (let i = 0; i < names.length; i++) {
    const values = await pending.shift()!;
    if (i + AHEAD < names.length) pending.push(read(names[i + AHEAD]));
    const tensor = targets.get(names[i])!;
    await runtime.submit([{ do: "write", to: layout.find(tensor), bytes: encodeValues(tensor, values) }]);
    unsubmitted += values.byteLength;
    // Uploads wait in host memory for a submission, and are copied while they are still in the cache.
    if (unsubmitted > SUBMIT_BYTES) {
      gpu.device.queue.submit([]);
      unsubmitted = 0;
    }
  }
  gpu.device.queue.submit([]);
  await gpu.device.queue.onSubmittedWorkDone();
  return performance.now() - started;
}

function toWords(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
}

/** Measures one file: the plain read, then the way into GPU buffers, best of three. */
export async function* benchFile(path: string, variant: string): AsyncGenerator<Measurement> {
  const { size } = await Deno.stat(path);
  const row = (name: string, ms: number, adapter: string): Measurement => ({
    name,
    variant,
    shape: `${(size / 1e6).toFixed(0)} MB`,
    ms: Number(ms.toFixed(1)),
    gflops: 0,
    gbps: Number((size / ms / 1e6).toFixed(3)),
    adapter,
  });
  yield row("checkpoint.first-read", await readPlainly(path), "");
  let plain = Infinity, best = Infinity, adapter = "";
  for (let i = 0; i < REPEATS; i++) plain = Math.min(plain, await readPlainly(path));
  yield row("checkpoint.read", plain, "");
  for (let i = 0; i < REPEATS; i++) {
    using gpu = await openGpu();
    adapter = gpu.name;
    best = Math.min(best, await upload(gpu, path));
  }
  yield row("checkpoint.upload", best, adapter);
}

/** Measures two generated files, one in f32 and one in f16. */
export async function* benchCheckpoint(): AsyncGenerator<Measurement> {
  const folder = await Deno.makeTempDir();
  try {
    const towers: [string, TowerSizes, Dtype][] = [
      ["f32", VIT_PRESETS["ViT-B/16"], "F32"],
      ["f16", { ...VIT_PRESETS["ViT-L/14"], layers: 14 }, "F16"],
    ];
    for (const [variant, config, dtype] of towers) {
      const path = `${folder}/${variant}.pt`;
      await writeTower(path, config, dtype);
      yield* benchFile(path, variant);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const files = Deno.args.filter((arg) => !arg.startsWith("--"));
  const print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
  const rows = files.length > 0 ? files.map((path) => benchFile(path, "file")) : [benchCheckpoint()];
  for (const measurements of rows) {
    for await (const row of measurements) {
      print(
        Deno.args.includes("--json")
          ? JSON.stringify(row)
          : `${row.name.padEnd(24)}${row.variant.padEnd(8)}${row.shape.padEnd(10)}` +
            `${row.ms.toFixed(0).padStart(8)} ms ${(row.gbps * 1000).toFixed(0).padStart(8)} MB/s`,
      );
    }
  }
}
