/**
 * Every recorded case of the three systems by every kernel for hardware: each variant of products and of attention's passes forced
 * wherever it can run, on this adapter's driver. One of each family at a time; the kernel that would be the default on a GPU does
 * the launches that a variant is not made for, as those for stored halves are not for any gradient that was recorded. Prints the
 * launches of each. Software drivers take seconds to compile each text: an hour in all.
 *
 * `SIDENET_VARIANTS=8-15` takes those of the given numbers.
 */

import assert from "node:assert/strict";
import { Gpu } from "../../gpu/device.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import { MATMUL } from "../../gpu/ops/matmul_kernel.ts";
import { ATTENTION, type AttentionPass } from "../../gpu/ops/attention_kernel.ts";
import type { KernelFamily } from "../../gpu/tuning/family.ts";
import { replayCase } from "../../train/parity/replay.ts";
import { forcing, variantNames } from "../_util/forced_attention.ts";
import { gpuTest, testDevice } from "../_util/gpu.ts";
import { familyDevice, hardwareOf, hardwareVariants, variantTurns } from "../_util/matmul.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;
const CASES = [
  "clip-vit/tiny",
  "clip-vit/tiny-fp16-weights",
  "side4video/tiny",
  "side4video/two-side-heads",
  "side4video-eva/tiny-L14-options",
  "tds-clip/odd",
  "dist/small",
  "side4video-retrieval/small-eva-mean",
  "side4video-retrieval/small-wti",
  "side4video-retrieval/small-eva-wti",
];
const PASSES = Object.keys(ATTENTION) as AttentionPass[];
const FAMILIES = new Map(
  [MATMUL, ...PASSES.map((pass) => ATTENTION[pass])].map((family) =>
    [family.name, family as KernelFamily<unknown>] as const
  ),
);

/** An adapter as a GPU with this driver's features and limits, on which variants are forced; counts the launches that they do. */
class ForcedGpu extends Gpu {
  readonly names: Readonly<Record<string, string>>;
  readonly uses: Map<string, number>;

  /** @param names Variants by family. @param uses Where launches are counted, by family. */
  constructor(of: Gpu, names: Readonly<Record<string, string>>, uses: Map<string, number>) {
    super(of.device, of.info, of.features);
    this.names = names;
    this.uses = uses;
  }

  override get environment(): KernelEnvironment {
    const forced = forcing(super.environment, this.names);
    const onChoice = (name: string, spec: unknown) => {
      const candidates = FAMILIES.get(name)!.candidates(spec, forced);
      const suits = candidates.some((variant) => variant.name === this.names[name]);
      this.uses.set(name, (this.uses.get(name) ?? 0) + Number(suits));
    };
    return { ...forced, onChoice };
  }
}

const opened = await testDevice();
const device = opened && await familyDevice(opened.device);
const gpu = device && new Gpu(device, opened.info, new Set([...opened.features, ...device.features]));
const hardware = gpu && hardwareOf(gpu.device, gpu.info);
const products = hardware ? hardwareVariants(hardware).map(({ name }) => name) : [];
const attention = new Map(PASSES.map((pass) => [pass, gpu ? variantNames(pass, gpu.environment) : []]));
const count = Math.max(products.length, ...[...attention.values()].map(({ length }) => length));

for (const turn of variantTurns(count)) {
  const names = Object.fromEntries([
    [MATMUL.name, products[turn % products.length]],
    ...PASSES.map((pass) => {
      const all = attention.get(pass)!;
      return [ATTENTION[pass].name, all[turn % all.length]];
    }),
  ]);
  gpuTest(`${turn}: recorded cases hold with ${Object.values(names).join(", ")}`, async () => {
    const uses = new Map<string, number>();
    for (const name of CASES) {
      const forced = new ForcedGpu(gpu!, names, uses);
      for (const result of await replayCase(forced, `${FIXTURES}${name}.json`)) {
        assert.ok(result.ok, `${name}: ${JSON.stringify(result)}`);
      }
      forced.memory[Symbol.dispose]();
    }
    console.log(JSON.stringify([...uses]));
    const { [MATMUL.name]: product } = names;
    assert.ok(
      uses.get(MATMUL.name)! > 0 || /half|chunk/.test(product),
      `${product}: no recorded case has a use`,
    );
  });
}
