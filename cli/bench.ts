/** `sidenet bench`: measures kernels, the frozen tower, whole steps, and the peers. */
import { dirname } from "node:path";
import { benchMatmul, type Measurement } from "../bench/matmul.ts";
import { benchCard } from "../bench/card.ts";
import { cardTable, type OwnTime, type PeerTime } from "../bench/card_rows.ts";
import { benchCheckpoint } from "../bench/checkpoint.ts";
import { benchHandover } from "../bench/handover.ts";
import { benchLoader, MARK_CLIPS } from "../bench/loader.ts";
import { benchOps, requireOps } from "../bench/ops.ts";
import { benchSearch } from "../bench/search.ts";
import { benchWordSearch } from "../bench/search_words.ts";
import { benchStep } from "../bench/step.ts";
import { benchVit } from "../bench/vit.ts";
import { benchRanks } from "./ranks/bench.ts";
import { requireSharedVerb } from "./ranks/world.ts";
import { benchPeak } from "./rates/peak.ts";
import { measuringSteps, printProfile, TRACE } from "./rates/profile.ts";
import { showRow } from "./rates/rows.ts";
import { requireWritableFolder } from "../data/files.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { ConfigError } from "../lib/errors.ts";
import { type Config, parseConfig } from "../train/recipe/config.ts";
import { addChoices } from "../train/runtime/device/tuned.ts";
import { tuneRecipe } from "../bench/tune.ts";
import { type CommandPart, defineCommand, parseArguments, requireTaken } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";
import { splitAssignments } from "./shared/overrides.ts";
import { PUBLISHED_RECIPE } from "./shared/published.ts";
import { findRecipe, recipeToPlan } from "./shared/recipes.ts";
import { sourceAt, sourcesOf } from "./shared/sources.ts";
import { measuredChoices, tellMeasured, TUNE_OPTION, tunedChoices, tunedFile } from "./shared/tuned.ts";

/** Flags of the measurements that take a recipe. */
const RECIPE_FLAGS = ["config", "set"];
const RECIPE_USAGE = "[CONFIG] [key=value …]";

/** The measurements, each with what it is and takes. */
const PARTS = {
  matmul: {
    details: "the matrix product family, every kernel checked before it is timed.",
    options: ["all"],
  },
  ops: {
    details:
      "every op and its gradient, on the rows for measuring of the case tables that the tests use; --op picks some.",
    options: ["op", "small"],
  },
  vit: {
    details:
      "one 224-pixel frame through ViT-B/16 at full size with random weights, as a share of the matmul rate.",
    options: [],
  },
  step: {
    usage: RECIPE_USAGE,
    details:
      `a training step of a recipe (the demo's without one) on generated frames, without data loading. --profile tells where its
time goes: kernels, ops and parts of the network against the adapter's peaks, what the host does, and a trace of every launch.`,
    options: [...RECIPE_FLAGS, "profile", "trace"],
  },
  peak: {
    details:
      `what this adapter reaches in arithmetic, memory, uploads and launches, and how fast it runs every op, in half a
minute, on a software adapter in minutes; kept, so that plan tells the time of a step and --profile how near its kernels are to the peaks.`,
    options: [],
  },
  checkpoint: {
    details: "a 350 MB PyTorch file from disk into GPU buffers, beside the rate of plainly reading it.",
    options: [],
  },
  loader: {
    details:
      `clips of 340x256 from disk: frames a second beside npm:sharp and ffmpeg alone on the same files, memory over --clips
clips, and the share of training steps spent waiting for data. ratio is our rate divided by theirs.`,
    options: ["clips"],
  },
  handover: {
    details:
      `a batch of decoded frames on its way to the thread of the GPU: the time it takes the trainer in shared memory, as
training does it, and copied. ratio is the time of the copy divided by that.`,
    options: [],
  },
  search: {
    details:
      `the ten best of 100,000 stored embeddings for a query, on the CPU, and a plain loop over them, which must find the same.
ratio is the time of the plain loop divided by that. Then the scores of a sentence with 100,000 clips of four frames by a network that
weighs words and frames, on the GPU, alone and among 64.`,
    options: [],
  },
  peers: {
    details:
      `one product in sidenet, jax-js and TensorFlow.js (webgpu) in turn on one adapter; then one clip of a tower and of a published
network in sidenet, onnxruntime (CPU) and onnxruntime-web (webgpu), on a software adapter two blocks and two frames of them. The
peers (470 MB) are installed by npm into bench/peers at the first run. ratio is the peer's time divided by ours.`,
    options: [],
  },
  tune: {
    usage: RECIPE_USAGE,
    details:
      `measures every kernel that could do each product and attention of a recipe's step on this adapter, each checked first, and keeps
the winners, which all verbs then use. Train, eval, extract and index measure the heaviest by themselves on an adapter that is not
known, for ten seconds at most (--no-tune measures none). Other kernels sum in another order, so tune before a run and not in the
middle of one. ratio is the default's time divided by the winner's.`,
    options: RECIPE_FLAGS,
  },
  mpi: {
    usage: RECIPE_USAGE,
    details:
      `started by mpiexec, sums over ranks by size, beside copying in memory, and what the exchange takes of a step of a recipe
(the demo's without one) whose batch the ranks share.`,
    options: RECIPE_FLAGS,
  },
  card: {
    usage: RECIPE_USAGE,
    details:
      `ours and PyTorch in turn on one card: a product of 4096 x 4096 in f32 (no TF32), 64 frames through the tower, and a training step,
of ${PUBLISHED_RECIPE} without a recipe; PyTorch in f32 eager and with autocast. A table of times, of
memory held, and of the targets set for a large card. It needs a Python with torch (--python) and measures ours alone without one;
--small tries it at small sizes. ratio is the peer's time divided by ours, memory_share our bytes divided by the peer's.`,
    options: [...RECIPE_FLAGS, "python", "small", "no-tune"],
  },
} as const satisfies Record<string, CommandPart>;
const NAMES = Object.keys(PARTS) as (keyof typeof PARTS)[];
/** Clips that loader loads. */
const LOADED_CLIPS = 2000;
/** Clips that are handed over. */
const HANDOVER_CLIPS = 128;
/** What is searched in: the embeddings of CLIP's ViT-B. */
const SEARCHED = { embeddings: 100_000, dims: 512 };
/** Of the network that weighs words and frames: four frames a clip, each 32 numbers. */
const SEARCHED_WORDS = [
  "network.interaction=wti",
  "data.num_segments=4",
  "network.embed_dim=32",
  "data.max_words=16",
];
/** Changes of the recipe for a trial of `card`. */
const SMALL_CARD = [
  "network.arch=custom",
  "network.backbone={image_size: 32, patch_size: 8, width: 64, layers: 2, heads: 1}",
  "network.weights=null",
  "data.input_size=32",
  "data.num_segments=2",
  "data.batch_size=1",
];
/** What runs without a name. */
const USUAL = ["matmul", "vit", "step"];

export const command = defineCommand({
  name: "bench",
  summary: "Measure kernels and training steps",
  usage: "[NAME…] [CONFIG] [key=value …]",
  words: NAMES,
  parts: PARTS,
  details: `${NAMES.map((name) => `${name}: ${PARTS[name].details}`).join("\n")}

Without a name: matmul, vit and step. NAME --help tells of one. Figures are only comparable within one run on a quiet machine.`,
  examples: [
    ["sidenet bench matmul --json", "one line of JSON a measurement"],
    ["sidenet bench ops --op attention --op layerNorm", "two ops and their gradients"],
    [
      `sidenet bench step ${PUBLISHED_RECIPE} data.batch_size=8 --profile`,
      "where the time of a published step goes",
    ],
    [
      "sidenet bench card --json > bench/results/h200-$(date +%F).jsonl",
      "ours and PyTorch on this card, kept",
    ],
  ],
  options: {
    config: { type: "string", placeholder: "CONFIG", help: "recipe of the step, as CONFIG alone" },
    set: {
      type: "string",
      multiple: true,
      placeholder: "KEY=VALUE",
      help: "override of a key of the recipe",
    },
    profile: {
      type: "boolean",
      help: "also where the time of the step goes, which another run of it is measured for",
    },
    trace: {
      type: "string",
      placeholder: "FILE",
      help: `the profile's Chrome trace (${TRACE}); profiles the step too`,
    },
    clips: {
      type: "integer",
      placeholder: "N",
      min: 2 * MARK_CLIPS,
      help: `clips of loader's memory measurement (${LOADED_CLIPS})`,
    },
    op: { type: "string", multiple: true, placeholder: "NAME", help: "an op that ops measures (all)" },
    small: {
      type: "boolean",
      help: "ops at the sizes of the tests, card at sizes that show only that it runs",
    },
    python: { type: "string", placeholder: "PROGRAM", help: "the Python of card, which has torch (python3)" },
    "no-tune": { ...TUNE_OPTION["no-tune"], help: `card: ${TUNE_OPTION["no-tune"].help}` },
    all: { type: "boolean", help: "every matmul variant, not only the chosen one" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const isName = (text: string) => (NAMES as readonly string[]).includes(text);
  const { overrides, others } = splitAssignments(positionals);
  const given = others.filter(isName), paths = others.filter((text) => !isName(text));
  const names = given.length > 0 ? given : paths.length + overrides.length > 0 ? ["step"] : USUAL;
  const asked = {
    ...values,
    paths: [...values.config === undefined ? [] : [values.config], ...paths],
    overrides,
  };
  requireTaken(command, names, values);
  requireOps(values.op);
  await checkRecipe(names, asked);
  for (const name of names) requireSharedVerb(`bench ${name}`, ["bench mpi"]);
  for (const name of names) {
    if (name === "peers") {
      const code = await benchPeers(io);
      if (code !== 0) return code;
      continue;
    }
    if (name === "loader") {
      for await (const row of benchLoader({ clips: values.clips ?? LOADED_CLIPS })) showRow(row, io);
      continue;
    }
    if (name === "handover") {
      for await (const row of benchHandover({ clips: HANDOVER_CLIPS })) showRow(row, io);
      continue;
    }
    if (name === "search") {
      for (const row of benchSearch(SEARCHED)) showRow(row, io);
      const network = await ownRecipe("demo_retrieval.yaml", SEARCHED_WORDS);
      for await (const row of benchWordSearch(network, { rows: SEARCHED.embeddings })) showRow(row, io);
      continue;
    }
    if (name === "mpi") {
      for await (const row of benchRanks(await recipe(asked, io), io)) showRow(row, io);
      continue;
    }
    if (name === "card") {
      await card(asked, io);
      continue;
    }
    using gpu = await openGpu({ choices: (await tunedChoices(io)).known });
    if (name === "checkpoint") {
      for await (const row of benchCheckpoint()) showRow(row, io);
      continue;
    }
    if (name === "tune") {
      await tune(gpu, await recipe(asked, io), io);
      continue;
    }
    if (name === "peak") {
      await benchPeak(gpu, io);
      continue;
    }
    if (name === "step") {
      const config = await recipe(asked, io);
      if (values.profile || values.trace !== undefined) {
        await printProfile(gpu, config, { trace: values.trace }, io);
      } else {for (const row of await measuringSteps(() => Array.fromAsync(benchStep(gpu, config)), io)) {
          showRow(row, io);
        }}
      continue;
    }
    for await (const row of measure(name, gpu, values)) showRow(row, io);
  }
  return 0;
}

async function* measure(
  name: string,
  gpu: Gpu,
  values: { op: string[]; small?: boolean; all?: boolean },
): AsyncGenerator<Measurement> {
  if (name === "matmul") yield* benchMatmul(gpu, { all: values.all });
  if (name === "ops") {
    yield* benchOps(gpu, { names: values.op.length > 0 ? values.op : undefined, small: values.small });
  }
  if (name === "vit") yield* benchVit(gpu);
}

/** What was asked for: paths of a recipe, a folder or a run, and changes of its keys. */
interface Asked {
  readonly paths: readonly string[];
  readonly overrides: readonly string[];
  readonly set: readonly string[];
}

/** What measures a recipe. */
const OF_RECIPES = ["step", "tune", "mpi", "card"];

/** Refuses what is neither a measurement nor a recipe, before anything is measured. */
async function checkRecipe(names: readonly string[], { paths, overrides }: Asked): Promise<void> {
  for (const path of paths) {
    if (await sourceAt(path) !== null) continue;
    throw new ConfigError(
      `Cannot bench "${path}": it must be one of ${NAMES.join(", ")}, or a recipe, folder or run for step`,
    );
  }
  if (paths.length + overrides.length === 0 || names.some((name) => OF_RECIPES.includes(name))) return;
  throw new ConfigError(
    `Cannot bench "${[...paths, ...overrides][0]}": a recipe is for ${
      OF_RECIPES.join(", ")
    }, current name is ${names.join(", ")}`,
  );
}

/** Ours and PyTorch in turn, and their table. */
async function card(
  asked: Asked & { small?: boolean; python?: string; "no-tune"?: boolean },
  io: Io,
): Promise<void> {
  const set = [...asked.small ? SMALL_CARD : [], ...asked.set];
  const config = await recipe({ ...asked, set }, io, PUBLISHED_RECIPE.replace(/^configs\//, ""));
  const owns: OwnTime[] = [], peers: PeerTime[] = [];
  const sizes = asked.small ? { size: 256, images: 2 } : { size: 4096, images: 64 };
  const { signal } = io, { python } = asked, choices = await measuredChoices(asked, io);
  const note = (line: string) => io.note(line);
  try {
    for await (const row of benchCard({ config, ...sizes, python, choices, signal, note })) {
      io.printJson(row);
      if ("timed" in row) continue;
      if ("peer" in row) peers.push(row);
      else owns.push(row);
      const by = "peer" in row ? row.peer : "ours";
      io.note(
        `${row.name}, ${by}: ${
          row.ms === null ? ("error" in row && row.error) || "no time" : `${row.ms.toFixed(2)} ms`
        }`,
      );
    }
  } finally {
    if (!io.json && owns.length > 0) { for (const line of cardTable(owns, peers)) io.print(line); }
  }
}

/** The recipe asked for, or the given one, which is the demo's where nothing else is said. */
async function recipe({ paths, overrides, set }: Asked, io: Io, otherwise = "demo.yaml"): Promise<Config> {
  const changes = [...set, ...overrides], sources = await sourcesOf(paths, "bench");
  const found = await findRecipe(sources, { overrides: changes, needsWeights: false }, io);
  return found === null ? await ownRecipe(otherwise, changes) : await recipeToPlan(found, changes, io);
}

async function ownRecipe(name: string, overrides: readonly string[]): Promise<Config> {
  const text = await Deno.readTextFile(new URL(`../configs/${name}`, import.meta.url));
  return parseConfig(text, { source: name, overrides }).config;
}

async function tune(gpu: Gpu, config: Config, io: Io): Promise<void> {
  const path = tunedFile();
  if (path === null) {
    throw new ConfigError("Cannot tune: HOME or XDG_CACHE_HOME must be set, to keep what was measured");
  }
  await requireWritableFolder(dirname(path)); // before anything is measured
  const measured = await tuneRecipe(gpu, config, {
    signal: io.signal,
    async onChosen({ key, family, shape, name, byDefault, ms, defaultMs, tried }) {
      const ratio = defaultMs === null ? null : Number((defaultMs / ms).toFixed(2));
      const row = { name: "tune", family, shape, variant: name, default: byDefault, ms, ratio, tried };
      io.printJson({ ...row, adapter: gpu.name });
      if (!io.json) {
        const against = name === byDefault ? "" : `  ${ratio ?? "?"} times as fast as ${byDefault}`;
        io.print(
          `${family.padEnd(12)} ${shape.padEnd(36)} ${ms.toFixed(2).padStart(9)} ms  ${name}${against}`,
        );
      }
      await addChoices(path, new Map([[key, name]]));
    },
  });
  tellMeasured(measured, path, io);
}

/** The peers resolve their packages from a folder of their own, so they run as a child process. */
async function benchPeers(io: Io): Promise<number> {
  const script = new URL("../bench/peers/run.ts", import.meta.url);
  if (Deno.build.standalone || !await Deno.stat(script).then(() => true, () => false)) {
    throw new ConfigError(
      "Cannot time peers: they are not in the executable; use ./denow bench peers of the sources",
    );
  }
  const args = ["run", "-A", "--no-config", script.href, ...(io.json ? ["--json"] : [])];
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(Deno.execPath(), { args, stdin: "null" }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    throw new ConfigError(
      "Cannot time peers: their packages run in a process of their own, which this task may not start; use ./denow bench peers",
    );
  }
  return (await child.status).code;
}
