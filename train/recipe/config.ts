/**
 * The recipe of a run: one typed object read from YAML and `key=value` arguments. Layout and key names are those of the
 * published Side4Video files, so that those run as they are. Every key has a default, an unknown key is an error, and
 * the settled object is saved with the run.
 */
import * as YAML from "yaml";
import type { z } from "zod";
import { ConfigError } from "../../lib/errors.ts";
import type { SynthOptions } from "../../data/synth/dataset.ts";
import { PUBLISHED_RAND_AUGMENT } from "../../data/transforms/rand_augment.ts";
import {
  ERASE_PROBABILITY,
  SOMETHING_MIRROR_PAIRS,
  type TransformRecipe,
} from "../../data/transforms/recipe.ts";
import { describeIssue, describeUnknownKey } from "./_errors.ts";
import { remarksOn } from "./_checks.ts";
import { type Config, settleConfig } from "./_resolve.ts";
import { toSynthOptions } from "./_synth.ts";
import { CONFIG_KEYS, CONFIG_SCHEMA, CONFIG_SECTIONS, KEYS_WITHOUT_EFFECT } from "./_schema.ts";

export type { Config } from "./_resolve.ts";
export { BACKBONE_NAMES, CONFIG_KEYS, CONFIG_SECTIONS, KEYS_WITHOUT_EFFECT } from "./_schema.ts";

/** A recipe and what there is to say about it. */
export interface LoadedConfig {
  config: Config;
  /** Keys that were given and have no effect, to be named once. */
  keysWithoutEffect: string[];
  /** Remarks for the user, one line each (the keys without effect among them). */
  warnings: string[];
}

/** Where a recipe comes from. */
export interface ConfigSource {
  /** File name for messages; its last part names a run that has no `name`. */
  source?: string;
  /** `key=value` arguments, applied in order; keys are dotted, values are YAML. */
  overrides?: readonly string[];
}

/**
 * Reads a recipe from a file.
 *
 * @example `const { config } = await loadConfig("configs/demo.yaml", ["solver.lr=1e-4"])`
 */
export async function loadConfig(path: string, overrides: readonly string[] = []): Promise<LoadedConfig> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new ConfigError(`Cannot read config "${path}": ${reason}`, { cause: error });
  }
  return parseConfig(text, { source: path, overrides });
}

/** Reads a recipe from YAML text. */
export function parseConfig(text: string, options: ConfigSource = {}): LoadedConfig {
  const source = options.source ?? "config";
  const raw = parseYaml(text, source);
  const given = new Set(leavesOf(raw, ""));
  const overridden = applyOverrides(raw, options.overrides ?? []);
  for (const key of overridden.keys()) given.add(key);
  const tree = noneToNull(raw);
  const parsed = CONFIG_SCHEMA.safeParse(tree);
  if (!parsed.success) throw schemaError(parsed.error.issues, tree, { source, overridden });
  const config = settleConfig(parsed.data, { label: `config "${source}"`, runName: runNameOf(source) });
  const keysWithoutEffect = KEYS_WITHOUT_EFFECT.filter((key) => given.has(key));
  const warnings = remarksOn(config);
  if (keysWithoutEffect.length > 0) {
    warnings.unshift(`keys without effect, as in the published code: ${keysWithoutEffect.join(", ")}`);
  }
  return { config, keysWithoutEffect, warnings };
}

/** The recipe as YAML, with every default written out; `parseConfig` reads it back unchanged. */
export function formatConfig(config: Config): string {
  return YAML.stringify(config, { lineWidth: 110 });
}

/** The options of the synthetic set that a recipe asks for, or null. */
export function synthOptions(config: Config): SynthOptions | null {
  return config.data.synth === null ? null : toSynthOptions(config.data.synth);
}

/** Folders that the entries of the training and validation lists are relative to (the working folder without any). */
export function dataRoots(config: Config): { train: string; val: string } {
  const { data } = config;
  return { train: data.train_root ?? data.root ?? ".", val: data.val_root ?? data.root ?? "." };
}

/** The clip transforms that a recipe asks for. */
export function transformRecipe(config: Config): TransformRecipe {
  const { data } = config;
  const size = data.input_size;
  const resize: TransformRecipe["resize"] = Array.isArray(data.resize)
    ? { kind: "exact", height: data.resize[0], width: data.resize[1] }
    : data.resize === "sth"
    ? { kind: "exact", height: 256, width: 320 }
    : data.resize === "kinetics"
    ? { kind: "shortSide", side: size === 224 ? 256 : size }
    : { kind: "none" };
  return {
    randAugment: data.rand_aug ? PUBLISHED_RAND_AUGMENT : null,
    colourJitter: data.colour_jitter,
    resize,
    crop: data.crop === "random_resized" ? "randomResized" : data.crop,
    size,
    flipProbability: data.flip === "none" ? 0 : 0.5,
    mirrorPairs: data.flip === "sth" ? SOMETHING_MIRROR_PAIRS : [],
    greyProbability: data.grey,
    eraseProbability: data.rand_erase ? ERASE_PROBABILITY : 0,
  };
}

type Tree = Record<string, unknown>;

const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parseYaml(text: string, source: string): Tree {
  const document = YAML.parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    const [firstLine] = document.errors[0].message.split("\n");
    throw new ConfigError(`Cannot read config "${source}": ${firstLine.replace(/:$/, "")}`);
  }
  const value: unknown = document.toJS() ?? {};
  if (!isTree(value)) {
    const kind = Array.isArray(value) ? "a list" : `a ${typeof value}`;
    throw new ConfigError(
      `Cannot read config "${source}": it must be a mapping of keys, current value is ${kind}`,
    );
  }
  return value;
}

/** The published files write Python's None as a bare word, which YAML reads as text. */
function noneToNull(value: unknown): unknown {
  if (value === "None") return null;
  if (!isTree(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, noneToNull(one)]));
}

/** Sets the keys in the tree. Returns each overridden key with the argument that set it. */
function applyOverrides(tree: Tree, overrides: readonly string[]): Map<string, string> {
  const applied = new Map<string, string>();
  for (const override of overrides) {
    const equals = override.indexOf("=");
    const key = override.slice(0, equals);
    if (equals < 1) {
      throw new ConfigError(`Cannot use argument "${override}": it must have the form key=value`);
    }
    if (!CONFIG_KEYS.includes(key) && !CONFIG_SECTIONS.includes(key)) {
      throw new ConfigError(`Cannot use argument "${override}": ${describeUnknownKey(key)}`);
    }
    setLeaf(tree, key.split("."), parseValue(override.slice(equals + 1)));
    applied.set(key, override);
  }
  return applied;
}

function parseValue(text: string): unknown {
  try {
    return YAML.parse(text, { prettyErrors: false });
  } catch {
    return text; // a shell takes the quotes of image_tmpl="{:05d}.jpg" away; the schema refuses what is no text
  }
}

function setLeaf(tree: Tree, path: string[], value: unknown): void {
  let at = tree;
  for (const key of path.slice(0, -1)) {
    if (!isTree(at[key])) at[key] = {};
    at = at[key] as Tree;
  }
  at[path[path.length - 1]] = value;
}

function leavesOf(value: unknown, prefix: string): string[] {
  if (!isTree(value)) return [prefix];
  return Object.entries(value).flatMap(([key, one]) =>
    leavesOf(one, prefix === "" ? key : `${prefix}.${key}`)
  );
}

function schemaError(
  issues: readonly z.core.$ZodIssue[],
  tree: unknown,
  { source, overridden }: { source: string; overridden: Map<string, string> },
): ConfigError {
  const [issue] = issues;
  // The argument may have set the key, or a section around it.
  const override = issue.path.map((_, i) => overridden.get(issue.path.slice(0, i + 1).join(".")))
    .findLast((argument) => argument !== undefined);
  const what = override === undefined
    ? `Cannot read config "${source}"`
    : `Cannot use argument "${override}"`;
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  return new ConfigError(`${what}: ${describeIssue(issue, tree)}${more}`);
}

function runNameOf(source: string): string {
  return source.replace(/^.*[\\/]/, "").replace(/\.ya?ml$/i, "") || "run";
}
