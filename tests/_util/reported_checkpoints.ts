/** The checkpoints of tests/fixtures/reports/checkpoints, which PyTorch wrote (make.py), and the tower that they are of. */
import { openWeights } from "../../data/checkpoint/open.ts";
import { encodeSafetensors, type TensorToWrite } from "../../data/checkpoint/safetensors.ts";
import { writeFileWhole } from "../../data/files.ts";
import { type FittedTower, fitTower } from "../../models/backbone_file.ts";
import { clipTower } from "../../models/clip/tower.ts";
import type { ClipSizes, FrozenVit } from "../../models/clip/vit.ts";
import { checkAccount, type Weight, Weights, type WeightSource } from "../../models/params.ts";
import { explainBackbone } from "../../models/towers.ts";

export const REPORTED = new URL("../fixtures/reports/checkpoints/", import.meta.url).pathname;

/** The sizes of plain.pt. */
export const REPORTED_SIZES: ClipSizes = { imageSize: 16, patchSize: 4, width: 8, layers: 1, heads: 2 };

/** The tower's weights as they are declared. */
export function declaredTower(sizes: ClipSizes = REPORTED_SIZES): { tower: FrozenVit; weights: Weight[] } {
  const weights = new Weights();
  const tower = clipTower.declare(weights, sizes, { dtype: "f32" }) as FrozenVit;
  return { tower, weights: weights.of("frozen") };
}

/** Loads a tower from a file as a run does: everything that is there is accounted for. */
export async function loadTower(
  path: string,
  sizes: ClipSizes = REPORTED_SIZES,
): Promise<Omit<FittedTower, "source"> & { values: Map<string, Float32Array> }> {
  await using file = await openWeights(path);
  const { source, ...fitted } = fitTower(file, sizes), { weights } = declaredTower(sizes);
  checkAccount(weights, source, { ignore: clipTower.unused(sizes), explain: explainBackbone });
  const values = new Map<string, Float32Array>();
  for (const { name } of weights) values.set(name, await source.readF32(name));
  return { ...fitted, values };
}

/** A tensor to write under another name, as it is or changed. */
export interface Renamed {
  name: string;
  shape?: readonly number[];
  data?: Float32Array;
}

/** Writes a source's tensors as safetensors, each as what `rename` makes of it. */
export async function rewrite(
  source: WeightSource,
  path: string,
  rename: (name: string, values: Float32Array, shape: readonly number[]) => Renamed[],
): Promise<void> {
  const tensors: TensorToWrite[] = [];
  for (const name of source.names()) {
    const data = await source.readF32(name), shape = source.shapeOf(name)!;
    tensors.push(...rename(name, data, shape).map((one) => ({ dtype: "F32" as const, shape, data, ...one })));
  }
  await writeFileWhole(path, encodeSafetensors(tensors));
}
