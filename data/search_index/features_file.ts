/** The features of an index: one tensor `features`, F32 `[rows D]` or `[rows T D]`, in a safetensors file. */

import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { encodeSafetensors, openSafetensors } from "../checkpoint/safetensors.ts";
import { fileRange, writeFileWhole } from "../files.ts";
import { damagedFeatures, type IndexManifest } from "./manifest.ts";

const TENSOR = "features";
/** Read at once. */
const PIECE_BYTES = 2 ** 24;

/**
 * Writes the features of an index, under a name of their own: the index of before holds until its manifest is replaced.
 *
 * @param values Row after row.
 * @returns Name and digest of the file.
 */
export async function writeFeatures(
  folder: string,
  { shape, rows, values }: { shape: readonly number[]; rows: number; values: Float32Array },
): Promise<{ file: string; sha256: string }> {
  const file = `features-${randomBytes(4).toString("hex")}.safetensors`, hash = createHash("sha256");
  const tensor = { name: TENSOR, dtype: "F32", shape: [rows, ...shape], data: values } as const;
  await writeFileWhole(
    join(folder, file),
    function* () {
      for (const chunk of encodeSafetensors([tensor], { format: "sidenet-index" })) {
        hash.update(chunk);
        yield chunk;
      }
    }(),
  );
  return { file, sha256: hash.digest("hex") };
}

/**
 * The features of an index, row after row.
 *
 * @throws {DataError} where the file is missing, or is not the one that the manifest speaks of
 */
export async function readFeatures(folder: string, manifest: IndexManifest): Promise<Float32Array> {
  const { file, sha256, rows } = manifest.features, path = join(folder, file);
  await using range = await fileRange(path).catch((error) => {
    throw damagedFeatures(folder, manifest, (error as Error).message.replace(/^Cannot open ".*": /, ""));
  });
  const hash = createHash("sha256");
  for (let at = 0; at < range.sizeBytes; at += PIECE_BYTES) {
    hash.update(await range.read(at, Math.min(PIECE_BYTES, range.sizeBytes - at)));
  }
  if (hash.digest("hex") !== sha256) {
    throw damagedFeatures(folder, manifest, "it was changed after it was written");
  }
  const source = await openSafetensors(range, { label: path }), wanted = [rows, ...manifest.features.shape];
  const { dtype, shape } = source.describe(TENSOR);
  if (dtype !== "F32" || shape.join() !== wanted.join()) {
    throw new DataError(
      `Cannot read "${path}": tensor "${TENSOR}" must be F32 [${wanted.join(" ")}], ` +
        `current value is ${dtype} [${shape.join(" ")}]`,
    );
  }
  return await source.readF32(TENSOR);
}
