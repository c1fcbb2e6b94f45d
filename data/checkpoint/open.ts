/** One door to every checkpoint on disk: a file of any of the formats (`contents.ts`), and indices of several such files. */
import { fileRange } from "../files.ts";
import { openCheckpointFile, type OpenWeights, type OpenWeightsOptions, selectWeights } from "./contents.ts";
import { isIndex, openSharded } from "./sharded.ts";

export {
  type CheckpointFile,
  type CheckpointFormat,
  openCheckpointFile,
  type OpenWeights,
  type OpenWeightsOptions,
  type PlainValue,
  selectWeights,
  WEIGHT_KEYS,
} from "./contents.ts";

/**
 * Opens the weights of a file.
 *
 * @example `await using weights = await openWeights("ViT-B-16.pt"); await weights.readF32("visual.proj")`
 */
export async function openWeights(path: string, options: OpenWeightsOptions = {}): Promise<OpenWeights> {
  const range = await fileRange(path);
  try {
    if (isIndex(await range.read(0, Math.min(8, range.sizeBytes)))) {
      await using shards = new AsyncDisposableStack();
      const file = shards.use(
        await openSharded(range, { label: path, open: (part, label) => openCheckpointFile(part, { label }) }),
      );
      const weights = selectWeights(file, options), open = shards.move();
      await range.close();
      return { ...weights, [Symbol.asyncDispose]: () => open.disposeAsync() };
    }
    const weights = selectWeights(await openCheckpointFile(range, { label: path }), options);
    return { ...weights, [Symbol.asyncDispose]: () => range.close() };
  } catch (error) {
    await range.close();
    throw error;
  }
}
