/**
 * The recipe of a run: one typed object read from YAML and arguments. A file may be written in the recipe's own layout, which is
 * a superset of the published Side4Video files', or in another dialect. Every key has a default, an unknown key is an error,
 * and the settled object is saved with the run.
 */
import { dirname, isAbsolute, join } from "node:path";
import * as YAML from "yaml";
import { ConfigError } from "../../lib/errors.ts";
import type { SynthOptions } from "../../data/synth/options.ts";
import { remarksOn } from "./_remarks.ts";
import { settleConfig } from "./_resolve.ts";
import type { Config } from "./_settled.ts";
import { toSynthOptions } from "./_synth.ts";
import type { Dialect } from "./dialects/dialect.ts";
import { dialectOf } from "./dialects/registry.ts";
import { schemaError } from "./errors.ts";
import { applyOverrides } from "./overrides.ts";
import { recipeSchema } from "./schema.ts";
import { parseTree, readTree, toTree, type Tree } from "./tree.ts";

export type { Config } from "./_settled.ts";
export { PUBLISHED_MIN_FRAMES } from "./_resolve.ts";
export { transformRecipe } from "./transform.ts";
export { argumentNames, isPairKey } from "./dialects/registry.ts";

/** A recipe and what there is to say about it. */
export interface LoadedConfig {
  config: Config;
  /** Keys that were given and have no effect, to be named once. */
  keysWithoutEffect: string[];
  /** Remarks for the user, one line each (the keys without effect among them). */
  warnings: string[];
  /** Those of them on the files: what stands in for what, whatever is done with the recipe. */
  onFiles: string[];
}

/** Where a recipe comes from. */
export interface ConfigSource {
  /** File name for messages; its last part names a run that has no `name`. */
  source?: string;
  /** Arguments, applied in order: `key=value`, keys dotted and values YAML, or in the form of the recipe's dialect. */
  overrides?: readonly string[];
}

/**
 * Reads a recipe from a file, and from those that it names.
 *
 * @example `const { config } = await loadConfig("configs/demo.yaml", ["solver.lr=1e-4"])`
 */
export async function loadConfig(path: string, overrides: readonly string[] = []): Promise<LoadedConfig> {
  const tree = await readTree(path);
  const dialect = dialectOf(tree);
  const whole = await dialect.assemble?.(tree, { path, readTree }) ?? tree;
  const loaded = readConfig(whole, dialect, { source: path, overrides });
  return { ...loaded, config: await withWeightsBeside(loaded.config, path) };
}

/** Weights that lie beside the recipe, and not where it is run. */
async function withWeightsBeside(config: Config, path: string): Promise<Config> {
  const { weights } = config.network;
  if (weights === null || isAbsolute(weights)) return config;
  const beside = join(dirname(path), weights),
    exists = (file: string) => Deno.stat(file).then(() => true, () => false);
  if (await exists(weights) || !await exists(beside)) return config;
  return { ...config, network: { ...config.network, weights: beside } };
}

/** Reads a recipe from YAML text. */
export function parseConfig(text: string, options: ConfigSource = {}): LoadedConfig {
  const { source = "config", overrides = [] } = options;
  return configOfTree(parseTree(text, source), { source, overrides });
}

/** Reads a recipe from a value: the JSON that a checkpoint holds. A settled recipe reads back unchanged. */
export function configFrom(value: unknown, options: Required<ConfigSource>): LoadedConfig {
  return configOfTree(toTree(value, options.source), options);
}

function configOfTree(tree: Tree, { source, overrides }: Required<ConfigSource>): LoadedConfig {
  const dialect = dialectOf(tree);
  if (dialect.assemble) {
    throw new ConfigError(
      `Cannot read config "${source}": a recipe in the form of "${dialect.id}" may name others, so it must be a file`,
    );
  }
  return readConfig(tree, dialect, { source, overrides });
}

/** From a tree in a dialect to a settled recipe. */
function readConfig(
  written: Tree,
  dialect: Dialect,
  { source, overrides }: Required<ConfigSource>,
): LoadedConfig {
  const { schema, names } = recipeSchema();
  const reading = dialect.read(written, { source, args: overrides });
  const { tree } = reading;
  const setBy = new Map([...reading.setBy, ...applyOverrides(tree, reading.rest, { known: names })]);
  const parsed = schema.safeParse(tree);
  const known = [...names, ...dialect.keys ?? []];
  if (!parsed.success) throw schemaError(parsed.error.issues, { source, tree, setBy, known });
  const config = settleConfig(parsed.data, { source, runName: runNameOf(source) });
  const keysWithoutEffect = [...reading.keysWithoutEffect];
  const warnings = [...reading.remarks, ...remarksOn(config)];
  const idle = [
    ["keys without effect, as in the published code", keysWithoutEffect],
    ["keys that are not read here", reading.keysUnread ?? []],
  ] as const;
  const named = idle.filter(([, keys]) => keys.length > 0).map(([what, keys]) =>
    `${what}: ${keys.join(", ")}`
  );
  if (named.length > 0) warnings.unshift(named.join("; "));
  return { config, keysWithoutEffect, warnings, onFiles: [...reading.remarks] };
}

/** The recipe as YAML, with every default written out; `parseConfig` reads it back unchanged. */
export function formatConfig(config: Config): string {
  return YAML.stringify(config, { lineWidth: 110 });
}

/** The options of the synthetic set that a recipe asks for, or null. */
export function synthOptions(config: { data: Pick<Config["data"], "synth"> }): SynthOptions | null {
  return config.data.synth === null ? null : toSynthOptions(config.data.synth);
}

/** Folders that the entries of the training and validation lists are relative to (the working folder without any). */
export function dataRoots(
  config: { data: Pick<Config["data"], "root" | "train_root" | "val_root"> },
): { train: string; val: string } {
  const { data } = config;
  return { train: data.train_root ?? data.root ?? ".", val: data.val_root ?? data.root ?? "." };
}

function runNameOf(source: string): string {
  return source.replace(/^.*[\\/]/, "").replace(/\.ya?ml$/i, "") || "run";
}
