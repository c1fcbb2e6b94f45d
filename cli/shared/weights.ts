/** Weights by name, as verbs find them: the folders that the environment names, `--offline`, and a bar while a file is fetched. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { type LocatedWeights, locateWeights, type WeightsPlaces } from "../../train/files/named_weights.ts";
import type { LocateBackbone } from "../../train/evaluation/trained_model.ts";
import { requireRunFolder, weightsOfRun } from "../../train/files/run_folder.ts";
import { publishedFile, weightsNames } from "../../models/known_files.ts";
import type { Config } from "../../train/recipe/config.ts";
import { formatBytes, formatDuration, progressBar } from "../../lib/text.ts";
import type { OptionSpec } from "./args.ts";
import { userCache } from "./cache.ts";
import type { Io } from "./output.ts";

/** The flag of verbs that may fetch weights. */
export const WEIGHTS_OPTIONS = {
  offline: { type: "boolean", help: "fetch no weights; those that are asked for by name must be here" },
} as const satisfies Record<string, OptionSpec>;

/** How a verb looks for weights. */
export interface FindWeightsOptions {
  offline?: boolean;
  /** Why a verb that fetches nothing does not. */
  notFetched?: string;
  /** See `LocateOptions.isRecorded`. */
  isRecorded?: boolean;
}

/** Where published files are looked for and kept on this machine; an empty variable is none. */
export function weightsPlaces(options: FindWeightsOptions = {}): WeightsPlaces {
  const cache = Deno.env.get("SIDENET_CACHE") || userCache();
  return {
    folder: Deno.env.get("SIDENET_WEIGHTS") || null,
    cache: cache === null ? null : join(cache, "weights"),
    notFetched: options.notFetched ?? (options.offline ? "--offline fetches nothing" : undefined),
  };
}

/** `network.arch` of a recipe that gives the sizes of its backbone itself. */
const CUSTOM = "custom";
/** Between two states of the bar. */
const SHOWN_EVERY_MS = 200;
/** Between two lines where there is no terminal. */
const TOLD_EVERY_MS = 15_000;
const BAR_CELLS = 20;

/**
 * The file of weights that a path or a name means; what is not here is fetched.
 *
 * @throws {MissingWeightsError} where it cannot be had
 */
export async function findWeights(
  name: string,
  io: Io,
  options: FindWeightsOptions = {},
): Promise<LocatedWeights> {
  let began: { time: number; bytes: number } | null = null, shown = 0, told = 0;
  const progress = (done: number, total: number | null) => {
    const now = performance.now();
    began ??= { time: now, bytes: done };
    const isEnd = done === total;
    if (io.isTerminal ? now - shown < SHOWN_EVERY_MS && !isEnd : now - told < TOLD_EVERY_MS && told > 0) {
      return;
    }
    const speed = (done - began.bytes) / Math.max(1e-3, (now - began.time) / 1000);
    const line = progressLine({ done, total, speed });
    shown = now;
    if (io.isTerminal) return io.status(line);
    told = now;
    io.note(line);
  };
  const located = await locateWeights(name, {
    ...weightsPlaces(options),
    isRecorded: options.isRecorded,
    signal: io.signal,
    onFetch: ({ address }, path) => {
      io.note(`fetching ${address}`);
      io.note(`  into ${path}, once; Ctrl-C stops it, the next start goes on`);
    },
    onProgress: progress,
    onNote: (text) => io.note(text),
  });
  io.status("");
  if (began !== null) io.note(`fetched and checked: ${located.path}`);
  return located;
}

function progressLine(
  { done, total, speed }: { done: number; total: number | null; speed: number },
): string {
  const rate = speed > 0 ? `  ${formatBytes(speed)}/s` : "";
  if (total === null) return `${formatBytes(done)}${rate}`;
  const left = speed > 0 ? `  ${formatDuration((total - done) / speed)} left` : "";
  return `▕${progressBar(done / total, BAR_CELLS)}▏ ${formatBytes(done)} of ${
    formatBytes(total)
  }${rate}${left}`;
}

/** A model as verbs take it, a run folder or a checkpoint, or the name of published weights; and how its backbone is found. */
export async function findTarget(
  target: string,
  io: Io,
  options: FindWeightsOptions = {},
): Promise<{ target: string; locate: LocateBackbone }> {
  const isThere = await Deno.stat(target).then(() => true, () => false);
  const isPublished = publishedFile(options.isRecorded ? basename(target) : target) !== undefined;
  return {
    target: isThere || !isPublished ? target : (await findWeights(target, io, options)).path,
    locate: async (config, { isRecorded }) =>
      (await withWeightsFound(config, io, { ...options, isRecorded })).config,
  };
}

/** Refuses a name that no weights have, and that of weights of another backbone than the recipe's, before they are fetched. */
export function requireNameOfBackbone({ network }: Pick<Config, "network">): void {
  const { weights, arch, init } = network;
  if (weights === null || !init || existsSync(weights)) return;
  const published = publishedFile(weights);
  if (published === undefined && !/[\\/.]/.test(weights)) {
    throw new DataError(
      `Cannot find the weights "${weights}": it must be a file or one of ${weightsNames().join(", ")}`,
    );
  }
  // Weights for larger pictures fit, their positions are resized; a larger text tower is beside the same picture tower.
  const tower = (backbone: string) => backbone.replace(/-336(px)?$|-plus$/, "");
  if (published === undefined || arch === CUSTOM || tower(published.backbone) === tower(arch)) return;
  throw new ConfigError(
    `Cannot use the weights "${weights}": they are of ${published.backbone}, and network.arch is ${arch}; give network.arch=${
      tower(published.backbone)
    } too`,
  );
}

/** Refuses the name of weights for a small network that was picked. */
export function requireSmallWeights({ network: { weights, arch } }: Pick<Config, "network">): void {
  const published = weights === null || existsSync(weights) ? undefined : publishedFile(weights);
  if (arch !== CUSTOM || published === undefined) return;
  throw new ConfigError(
    `Cannot use the weights "${weights}": they are of ${published.backbone}, and a small network of its own sizes is picked; leave out --tiny`,
  );
}

/** A recipe whose backbone's file is found, and its SHA-256 where that was just checked. */
export async function withWeightsFound(
  config: Config,
  io: Io,
  options: FindWeightsOptions = {},
): Promise<{ config: Config; sha256?: string }> {
  const { network } = config;
  if (network.weights === null || !network.init) return { config };
  requireNameOfBackbone(config);
  const { path, sha256 } = await findWeights(network.weights, io, options);
  return { config: { ...config, network: { ...network, weights: path } }, sha256 };
}

/** The checkpoint that is meant: a file, the weights of a run folder, or published weights that are here. */
export async function fileOfWeights(
  given: string,
  io: Io,
  options: { notFetched: string },
): Promise<string> {
  const info = await Deno.stat(given).catch(() => null);
  if (info === null) return (await findTarget(given, io, options)).target;
  if (!info.isDirectory) return given;
  await requireRunFolder(given);
  return await weightsOfRun(given);
}
