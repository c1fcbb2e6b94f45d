/**
 * Weights by name. `network.weights=ViT-B-16` is a file of that path, or else the published file of that name: in the user's own
 * folder of weights, in the cache, or fetched into the cache from its authors' address.
 */
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { download, type DownloadOptions, NetworkError } from "../../data/download.ts";
import { sha256OfFile } from "../../data/sha256.ts";
import { DataError } from "../../lib/errors.ts";
import { type PublishedFile, publishedFile, weightsName, weightsNames } from "../../models/known_files.ts";

/** Where published files are looked for and kept. */
export interface WeightsPlaces {
  /** The user's own folder of weights (`SIDENET_WEIGHTS`); null: none. */
  folder: string | null;
  /** Where fetched files are kept; null: nowhere, so that nothing is fetched. */
  cache: string | null;
  /** Why nothing is fetched, such as "--offline fetches nothing"; absent: what is missing is. */
  notFetched?: string;
}

/** How to look, and what is told meanwhile. */
export interface LocateOptions extends WeightsPlaces, Omit<DownloadOptions, "sha256"> {
  /** Told before a file is fetched. */
  onFetch?: (file: PublishedFile, path: string) => void;
  /** The published file of a name; by default those that are known. */
  published?: (name: string) => PublishedFile | undefined;
  /** The path stands in a run's own recipe, which may have come from another machine with another cache. */
  isRecorded?: boolean;
}

/** Where a file of weights is. */
export interface LocatedWeights {
  path: string;
  /** Its SHA-256, where it has just been checked. */
  sha256?: string;
}

/** Endings under which a published file may lie in the user's folder. */
export const WEIGHTS_ENDINGS = [".pt", ".safetensors"];

/**
 * Finds the file of `network.weights`.
 *
 * @returns The path as it was given where a file is there, or where it is a path and no name: what opens it says that it is missing.
 * @throws {MissingWeightsError} where the file is not here and cannot be fetched, with what to put where
 * @throws {DataError} where the file in the cache, or what was fetched, is not the published one
 * @example `const { path } = await locateWeights("ViT-B-16", { folder: null, cache: "/home/me/.cache/sidenet/weights" })`
 */
export async function locateWeights(given: string, options: LocateOptions): Promise<LocatedWeights> {
  const { folder, cache, published = publishedFile } = options;
  if (await isThere(given)) return { path: given };
  const file = published(given) ?? published(basename(given));
  if (file === undefined) {
    if (/[\\/.]/.test(given)) return { path: given };
    throw new DataError(
      `Cannot find the weights "${given}": it must be a file or one of ${weightsNames().join(", ")}`,
    );
  }
  const isName = published(given) !== undefined || options.isRecorded;
  if (folder !== null) {
    for (const name of [file.file, ...WEIGHTS_ENDINGS.map((ending) => weightsName(file) + ending)]) {
      const path = join(folder, name);
      if (await isFile(path)) return { path: resolve(path) };
    }
  }
  const kept = cache === null ? null : resolve(cache, file.file);
  if (kept !== null && await isFile(kept)) return await checked(kept, file);
  if (!isName) {
    throw new MissingWeightsError(
      `Cannot open "${given}": it does not exist; network.weights=${weightsName(file)} finds it by its name` +
        (file.sha256 === null ? "" : ", or fetches it"),
    );
  }
  const put = `put ${file.file} from ${file.address} into "${
    folder ?? cache ?? "a folder named by SIDENET_WEIGHTS"
  }"`;
  const missing = (why: string) =>
    new MissingWeightsError(`Cannot find the weights "${given}": ${why}; ${put}`);
  if (file.sha256 === null) throw missing("they are not fetched, because their authors publish no checksum");
  if (kept === null) throw missing("there is no cache folder to fetch them into");
  if (options.notFetched !== undefined) throw missing(options.notFetched);
  options.onFetch?.(file, kept);
  try {
    await download(file.address, kept, { ...options, sha256: file.sha256 });
  } catch (error) {
    if (error instanceof NetworkError) {
      throw missing(error.message.replace(/^Cannot fetch "[^"]*": /, "they cannot be fetched, "));
    }
    throw error;
  }
  return { path: kept, sha256: file.sha256 };
}

/** Weights that are asked for by name, are not here and cannot be fetched now. */
export class MissingWeightsError extends DataError {
  override name = "MissingWeightsError";
}

/** A file of the cache, which stands there as what was checked. */
async function checked(path: string, { file, sha256 }: PublishedFile): Promise<LocatedWeights> {
  if (sha256 === null) return { path };
  const current = await sha256OfFile(path);
  if (current === sha256) return { path, sha256 };
  throw new DataError(
    `Cannot use "${path}": it must be the published ${file}, SHA-256 ${sha256}, current value is ${current}; ` +
      "remove it, and it is fetched again",
  );
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then((info) => !info.isDirectory(), () => false);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then((info) => info.isFile(), () => false);
}
