/** The automatic choice of kernels: when it happens, how long it may take, and what becomes of it. */

import assert from "node:assert/strict";
import { Graph, resident } from "../../../../gpu/graph.ts";
import { matmul } from "../../../../gpu/ops/linear.ts";
import { planGraph } from "../../../../gpu/plan.ts";
import type { KernelEnvironment } from "../../../../gpu/op.ts";
import { familyOf, type Launch } from "../../../../gpu/tuning/choose.ts";
import { PLAIN_GPU } from "../../../../gpu/tuning/family.ts";
import { tunablesOf } from "../../../../gpu/tuning/tunables.ts";
import type { ChoosingDevice } from "../../../../train/runtime/device/device.ts";
import {
  chooseKernels,
  measureKernels,
  worthMeasuring,
} from "../../../../train/runtime/device/choose_kernels.ts";
import { addChoices, type Measured, readChoices } from "../../../../train/runtime/device/tuned.ts";
import { ALONE, type World } from "../../../../mpi/world.ts";

const LIMITS = { maxBindingBytes: 2 ** 30, maxBufferBytes: 2 ** 30 };

/** A plan of products [sizes] x 64 x 64, and one of them twice. */
function planOf(...sizes: number[]) {
  const g = new Graph();
  for (const [i, rows] of [...sizes, sizes[0]].entries()) {
    const a = resident("input", `a${i}`, [rows, 64]), b = resident("input", `b${i}`, [64, 64]);
    g.output(`c${i}`, matmul(g, a, b));
  }
  return planGraph(g, { limits: LIMITS });
}

/** A device that takes `msEach` for a choice, by a clock of its own, and always chooses the second candidate. */
function fakeDevice(environment: KernelEnvironment = PLAIN_GPU) {
  const asked: Launch[] = [], limits: number[] = [];
  const device = {
    info: { environment },
    choose(launch: Launch, { limitMs = Infinity }: { limitMs?: number }) {
      asked.push(launch);
      limits.push(limitMs);
      const [byDefault, { name }] = familyOf(launch).family.candidates(launch.spec, environment);
      return Promise.resolve({
        name,
        byDefault: byDefault.name,
        ms: 1,
        defaultMs: 2,
        tried: 2,
        wrong: { broken: "C[0] must be 1" },
      });
    },
    adopt(changes: Partial<KernelEnvironment>) {
      this.info = { environment: { ...this.info.environment, ...changes } };
    },
  };
  return { device: device as unknown as ChoosingDevice, asked, limits };
}

const sizeOf = ({ spec }: Launch) => (spec as { m: number }).m;

Deno.test("tunablesOf() lists the launches of plans, heaviest first and those of a shape range once", () => {
  const tunables = tunablesOf([planOf(64, 1000, 1010), planOf(64)], PLAIN_GPU);
  assert.deepEqual(tunables.map(sizeOf), [1000, 64]);
  assert.deepEqual(tunables.map(({ flops }) => flops), [2 * 64 * 64 * 2010, 2 * 64 * 64 * 64 * 4]);
  assert.equal(new Set(tunables.map(({ key }) => key)).size, 2);
});

Deno.test("worthMeasuring() leaves out what is known, and the lightest that do little of the work", () => {
  const tunables = tunablesOf([planOf(4096, 512, 8)], PLAIN_GPU), [{ key }] = tunables;
  const sizes = (known: ReadonlyMap<string, string>, lightest: number) =>
    worthMeasuring(tunables, { known, lightest }).map(sizeOf);
  assert.deepEqual(sizes(new Map(), 0), [4096, 512, 8]);
  assert.deepEqual(sizes(new Map(), 0.03), [4096, 512]);
  assert.deepEqual(sizes(new Map([[key, "x"]]), 0.03), [512]);
});

Deno.test("an unknown adapter's kernels are measured once, adopted, and kept", async () => {
  const { device, asked } = fakeDevice(), kept: Measured[] = [], stages: string[] = [];
  const keep = (measured: Measured) => void kept.push(measured);
  const choices = { known: new Map(), keep: (m: Measured) => Promise.resolve(keep(m)) };
  const plans = [planOf(64, 1000)];
  assert.equal(await chooseKernels(device, plans, { choices, stage: ({ what }) => stages.push(what) }), true);
  assert.equal(asked.length, 2);
  assert.deepEqual(stages, ["choosing kernels", "choosing kernels"]);
  const { measured, changed, left, wrong } = kept[0];
  assert.deepEqual([measured, changed, left, wrong.length], [2, 2, 0, 2]);
  assert.deepEqual([...device.info.environment.choices], [...kept[0].choices]);
  device.hasChosen = false; // another run
  assert.equal(await chooseKernels(device, plans, { choices }), false, "nothing is left to measure");
  device.hasChosen = false;
  assert.equal(await chooseKernels(device, [planOf(4096)], { choices }), true);
  assert.equal(await chooseKernels(device, [planOf(512)], { choices }), false, "once a run");
  assert.equal(asked.length, 3);
});

Deno.test("nothing is measured on an adapter that the defaults were measured on, nor where nothing is kept", async () => {
  const plans = [planOf(64)], keep = () => Promise.resolve();
  const llvmpipe = { description: "llvmpipe (LLVM 15.0.6, 256 bits)", features: new Set(["subgroups"]) };
  const known = fakeDevice({ ...PLAIN_GPU, ...llvmpipe, isSoftware: true });
  assert.equal(await chooseKernels(known.device, plans, { choices: { known: new Map(), keep } }), false);
  const unknown = fakeDevice();
  assert.equal(await chooseKernels(unknown.device, plans, { choices: { known: new Map() } }), false);
  assert.equal(await chooseKernels(unknown.device, plans, { choices: undefined }), false);
  assert.deepEqual([...known.asked, ...unknown.asked], []);
});

Deno.test("launches for which the time does not suffice are left to the next run", async () => {
  const { device, asked, limits } = fakeDevice(), tunables = tunablesOf([planOf(64, 1000, 8000)], PLAIN_GPU);
  const none = { limitMs: 0, candidates: 2, budgetMs: 1, lightest: 0 };
  const measured = await measureKernels(device, tunables, { limits: { ...none, limitMs: -1 } });
  assert.deepEqual([asked.length, measured.measured, measured.left], [0, 0, 3]);
  assert.equal(measured.choices.size, 0);
  await measureKernels(device, tunables, { limits: { ...none, limitMs: 60_000 } });
  assert.equal(asked.length, 3);
  assert.ok(limits.every((limit, i) => limit <= (limits[i - 1] ?? 60_000)), `${limits}`);
});

Deno.test("of several ranks rank 0 measures, and the others take what it found", async () => {
  const shared: unknown[] = [];
  const world = (rank: number): World => ({
    ...ALONE,
    rank,
    size: 2,
    share: <T>(value: T | null) => {
      if (rank === 0) shared.push(value);
      return Promise.resolve(shared.at(-1) as T);
    },
  });
  const choices = { known: new Map(), keep: () => Promise.resolve() };
  const first = fakeDevice(), second = fakeDevice(), plans = [planOf(64)];
  assert.equal(await chooseKernels(first.device, plans, { choices, world: world(0) }), true);
  assert.equal(
    await chooseKernels(second.device, plans, { choices: { known: new Map() }, world: world(1) }),
    true,
  );
  assert.equal(second.asked.length, 0);
  assert.deepEqual([...second.device.info.environment.choices], [...first.device.info.environment.choices]);
});

Deno.test("addChoices() keeps what another process has added", async () => {
  const folder = await Deno.makeTempDir(), path = `${folder}/sidenet/tuned.json`;
  await addChoices(path, new Map([["a", "1"], ["b", "2"]]));
  await addChoices(path, new Map([["b", "3"]]));
  assert.deepEqual([...await readChoices(path)], [["a", "1"], ["b", "3"]]);
  await Deno.writeTextFile(path, "{");
  const told: string[] = [];
  assert.deepEqual(
    [...await readChoices(path, (line) => told.push(line))],
    [],
    "one that cannot be read is none",
  );
  assert.equal(
    told.join(),
    `warning: "${path}" is damaged; kernels are as if none had been measured on this machine`,
  );
  await addChoices(path, new Map([["a", "4"]]));
  assert.deepEqual([...await readChoices(path)], [["a", "4"]]);
  await Deno.remove(folder, { recursive: true });
});
