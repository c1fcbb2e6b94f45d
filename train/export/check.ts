/** Exported files against sidenet's own evaluation: random clips and sentences through both. */

import { sizeOf } from "../../gpu/graph.ts";
import { createPrng, type Prng } from "../../lib/random.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";
import { endPositions } from "../../models/clip/text.ts";
import { CLIP_STATISTICS, normalisationTable } from "../../pixels/normalise.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import { clipShape, FRAMES_INPUT, type GraphOptions, IDS_INPUT, outputName } from "./graphs.ts";
import { type OnnxRuntime, openRuntime, type RuntimeSession, type RuntimeTensor } from "./runtime.ts";

/** Batches that are compared, of the same clips. */
export const CHECKED_BATCHES = [1, 2, 3] as const;
/** Times that one clip is timed; the fastest counts. */
const RUNS = 3;
/** Largest difference, as a share of the largest value: of f32 weights, and of those that were rounded to f16. */
const TOLERANCE = { f32: 1e-4, f16: 5e-2 } as const;

/** One output compared. */
export interface Difference {
  readonly graph: "clips" | "sentences";
  readonly output: string;
  readonly batch: number;
  /** Largest difference over the largest value. */
  readonly relative: number;
}

/** What a check found. */
export interface CheckResult {
  readonly differences: readonly Difference[];
  readonly largest: number;
  readonly tolerance: number;
  readonly ok: boolean;
  /** Milliseconds of one clip in onnxruntime's CPU and here. */
  readonly ms: { readonly onnxruntime: number; readonly here: number };
}

/** The question by which sentences are encoded here. */
export function sentencesQuery({ text }: VideoModel): Query {
  const count = CHECKED_BATCHES.at(-1)!, { words } = text!;
  return {
    name: "export.sentences",
    inputs: {
      ids: { shape: [count, words], dtype: "u32" },
      ends: { shape: [count], dtype: "u32" },
      word_mask: { shape: [count, words] },
    },
    record: (g, model, inputs) => ({ ...model.text!.encode(g, inputs, { mode: "eval" }) }),
  };
}

/** Outputs by name, one array a clip or sentence. */
type Expected = Readonly<Record<string, readonly Float32Array[]>>;

/**
 * Compares files with a session that evaluates one clip at once.
 *
 * @param files.sentences Null where there is none; else the session answers `sentencesQuery`.
 */
export async function checkFiles(
  session: Session,
  files: { clips: string; sentences: string | null },
  options: GraphOptions & { seed: number; signal?: AbortSignal },
): Promise<CheckResult> {
  const runtime = openRuntime(files.clips), prng = createPrng(options.seed, 0x6f6e6e78);
  const clips = await checkClips(session, { runtime, path: files.clips, prng, options });
  const sentences = files.sentences === null
    ? []
    : await checkSentences(session, { runtime, path: files.sentences, prng, options });
  const differences = [...clips.differences, ...sentences], tolerance = TOLERANCE[options.dtype];
  const largest = Math.max(...differences.map(({ relative }) => relative));
  return { differences, largest, tolerance, ok: largest <= tolerance, ms: clips.ms };
}

interface Checking {
  runtime: OnnxRuntime;
  path: string;
  prng: Prng;
  options: GraphOptions & { signal?: AbortSignal };
}

async function checkClips(
  session: Session,
  { runtime, path, prng, options }: Checking,
): Promise<{ differences: Difference[]; ms: CheckResult["ms"] }> {
  const { model } = session,
    count = CHECKED_BATCHES.at(-1)!,
    shape = clipShape(model, options),
    size = sizeOf(shape);
  const given = options.withPreprocessing
    ? Uint8Array.from({ length: count * size }, () => prng.integer(256))
    : Float32Array.from({ length: count * size }, () => prng.normal());
  const clipOf = (i: number) => given.subarray(i * size, (i + 1) * size);
  const pictures = (i: number) => {
    const clip = clipOf(i);
    return clip instanceof Uint8Array ? normalised(clip, model) : clip.slice();
  };
  const outputs: Record<string, Float32Array>[] = [];
  for (let i = 0; i < count; i++) outputs.push(await session.evaluateFrames(pictures(i), 1));
  const here = await fastest(() => session.evaluateFrames(pictures(0), 1));
  const loaded = await load(runtime, path);
  const inputs = (batch: number) => {
    const values = given.subarray(0, batch * size), type = options.withPreprocessing ? "uint8" : "float32";
    return { [FRAMES_INPUT]: new runtime.Tensor(type, values, [batch, ...shape]) };
  };
  try {
    const differences = await compare(loaded, {
      graph: "clips",
      inputs,
      expected: byName(outputs),
      signal: options.signal,
    });
    const theirs = await fastest(() => loaded.run(inputs(1)));
    return { differences, ms: { onnxruntime: theirs, here } };
  } finally {
    await loaded.release();
  }
}

async function checkSentences(
  session: Session,
  { runtime, path, prng, options }: Checking,
): Promise<Difference[]> {
  const count = CHECKED_BATCHES.at(-1)!, { words, vocabulary } = session.model.text!;
  const ids = new Uint32Array(count * words), mask = new Float32Array(count * words);
  for (let s = 0; s < count; s++) {
    const end = 1 + prng.integer(words - 1);
    for (let i = 0; i <= end; i++) {
      ids[s * words + i] = i === end ? vocabulary - 1 : prng.integer(vocabulary - 1);
      mask[s * words + i] = 1;
    }
  }
  const whole = await session.ask("export.sentences", {
    ids,
    ends: endPositions(ids, words),
    word_mask: mask,
  });
  const expected = Object.fromEntries(
    Object.entries(whole).map(([name, values]) => {
      const size = values.length / count;
      return [name, Array.from({ length: count }, (_, i) => values.subarray(i * size, (i + 1) * size))];
    }),
  );
  const loaded = await load(runtime, path);
  const inputs = (batch: number) => {
    const values = BigInt64Array.from(ids.subarray(0, batch * words), BigInt);
    return { [IDS_INPUT]: new runtime.Tensor("int64", values, [batch, words]) };
  };
  try {
    return await compare(loaded, { graph: "sentences", inputs, expected, signal: options.signal });
  } finally {
    await loaded.release();
  }
}

function load({ InferenceSession }: OnnxRuntime, path: string): Promise<RuntimeSession> {
  return InferenceSession.create(path, { executionProviders: ["cpu"] });
}

async function compare(
  loaded: RuntimeSession,
  { graph, inputs, expected, signal }: {
    graph: Difference["graph"];
    inputs: (batch: number) => Record<string, RuntimeTensor>;
    expected: Expected;
    signal?: AbortSignal;
  },
): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (const batch of CHECKED_BATCHES) {
    signal?.throwIfAborted();
    const results = await loaded.run(inputs(batch));
    for (const [output, all] of Object.entries(expected)) {
      const relative = relativeDifference(results[output].data as Float32Array, all.slice(0, batch));
      differences.push({ graph, output, batch, relative });
    }
  }
  return differences;
}

/** Largest difference over the largest value; infinite where anything is not finite, or there are more or fewer values. */
export function relativeDifference(values: Float32Array, expected: readonly Float32Array[]): number {
  const flat = expected.flatMap((part) => [...part]);
  if (flat.length !== values.length) return Infinity;
  let difference = 0, largest = 0;
  flat.forEach((value, i) => {
    const each = Math.abs(value - values[i]);
    difference = Number.isFinite(each) ? Math.max(difference, each) : Infinity;
    largest = Math.max(largest, Math.abs(value));
  });
  return difference === 0 ? 0 : difference / largest;
}

function byName(outputs: readonly Record<string, Float32Array>[]): Expected {
  return Object.fromEntries(
    Object.keys(outputs[0]).map((name) => [outputName(name), outputs.map((output) => output[name])]),
  );
}

/** Bytes [… H W 3] as the pictures [… 3 H W] that the network reads. */
function normalised(bytes: Uint8Array, model: VideoModel): Float32Array {
  const table = normalisationTable(CLIP_STATISTICS), pixels = model.config.backbone.imageSize ** 2;
  return Float32Array.from({ length: picturesOf(model) * 3 * pixels }, (_, i) => {
    const picture = Math.floor(i / (3 * pixels)), channel = Math.floor(i / pixels) % 3;
    return table[channel * 256 + bytes[(picture * pixels + i % pixels) * 3 + channel]];
  });
}

async function fastest(work: () => Promise<unknown>): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < RUNS; i++) {
    const started = performance.now();
    await work();
    best = Math.min(best, performance.now() - started);
  }
  return best;
}
