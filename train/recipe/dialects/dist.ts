/**
 * The YAML files of DiST (spec dist §5.1, §8): upper-case keys in sections, parents, `KEY VALUE` arguments. What they say is put into
 * the recipe's own layout (`_dist_mapping.ts`); what is broken in the published files is repaired, each with a remark.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../../lib/errors.ts";
import { nearestName } from "../../../lib/nearest_name.ts";
import type { Requirement } from "../../../models/system.ts";
import { valueAt } from "../../../data/schema.ts";
import { describeUnknownKey, requireAll, schemaError } from "../errors.ts";
import { argumentValue, whatFails } from "../overrides.ts";
import { recipeSchema } from "../schema.ts";
import { isTree, setLeaf, type Tree } from "../tree.ts";
import type { Dialect, Reading, ReadOptions } from "./dialect.ts";
import { assemble, namesParents, takeFound } from "./_dist_files.ts";
import { isWithoutEffect, KNOWN_KEYS, leavesOf, READ_KEYS, VALUES, type Values } from "./_dist_keys.ts";
import {
  archOf,
  hasJitter,
  hasPublishedPatch,
  isInterval,
  MAPPING,
  requirementsOf,
} from "./_dist_mapping.ts";

const SECTIONS = [...new Set(KNOWN_KEYS.map((key) => key.split(".", 1)[0]))];
const TOP_KEYS = KNOWN_KEYS.filter((key) => !key.includes("."));
/** Sections that tell a file; `data` and `network` of other layouts are written small. */
const TELLING = ["TRAIN", "TEST", "DATA", "MODEL", "VIDEO", "OPTIMIZER", "AUGMENTATION"];
/** What the files call the network's frame. */
const META_ARCH = "ClipVisionTextTransformer";
/** Clips of a step of one process of the published runs. */
const PUBLISHED_BATCH = 32;

/** The dialect of DiST. */
export const dist: Dialect = {
  id: "dist",
  keys: KNOWN_KEYS,
  publishedNames: new Map(MAPPING.filter(([, from]) => from.length > 0).map(([key, from]) => [key, from])),
  isPairKey,
  recognises: (tree) => namesParents(tree) || TELLING.some((key) => Object.hasOwn(tree, key)),
  assemble,
  read,
};

function isPairKey(argument: string): boolean {
  if (!/^[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*$/.test(argument)) return false;
  const [section, ...rest] = argument.split(".");
  return rest.length === 0 ? TOP_KEYS.includes(section) : nearestName(section, SECTIONS) !== undefined;
}

function read(assembled: Tree, { source, args }: ReadOptions): Reading {
  const { tree, found } = takeFound(assembled);
  const known = [...new Set([...leavesOf(tree), ...KNOWN_KEYS])];
  const { pairs, rest } = splitArguments(args);
  const given = new Set(leavesOf(found.given)), argumentOf = new Map<string, string>();
  for (const { key, value, argument } of pairs) {
    setPair(tree, key, { value, argument, known });
    argumentOf.set(key, argument);
    given.add(key);
  }
  const plain = withTruthValues(tree) as Tree;
  requireAll([networkRequirement(plain), ...ownSections(plain)], source, argumentOf);
  const parsed = VALUES.safeParse(plain);
  if (!parsed.success) {
    throw schemaError(parsed.error.issues, { source, tree: plain, setBy: argumentOf, known });
  }
  const values = parsed.data;
  requireAll(requirementsOf(values), source, argumentOf);
  const own: Tree = { system: "dist" }, setBy = new Map<string, string>();
  for (const [key, from, valueOf] of MAPPING) {
    const value = valueOf(values);
    if (value !== undefined) setLeaf(own, key, value);
    const by = from.map((name) => argumentOf.get(name)).find((argument) => argument !== undefined);
    if (by !== undefined) setBy.set(key, by);
  }
  return {
    tree: own,
    rest,
    setBy,
    ...idleKeys([...given], values),
    remarks: [...found.remarks, ...remarksOn(values, new Set(rest.map((one) => one.split("=", 1)[0])))],
  };
}

/** The same layout has files for other networks, with other values. */
function networkRequirement(tree: Tree): Requirement {
  const key = "VIDEO.BACKBONE.META_ARCH", value = valueAt(tree, key.split("."));
  return [
    value === undefined || value === META_ARCH,
    key,
    `be ${META_ARCH}: other networks are not built`,
    value,
  ];
}

/** Sections of a recipe in its own layout, which no published file has: it has no parents, and would be read of nothing. */
function ownSections(tree: Tree): Requirement[] {
  return Object.keys(tree).filter((key) =>
    /^[a-z]/.test(key) && recipeSchema().names.some((name) => name.split(".")[0] === key)
  )
    .map((
      key,
    ) => [
      false,
      key,
      "be left out: only files in the form of the published ones name parents (_BASE)",
      tree[key],
    ]);
}

/** Python's other words for true and false (YAML 1.1). */
function withTruthValues(value: unknown): unknown {
  if (typeof value === "string" && /^(yes|no|on|off)$/i.test(value)) return /^(yes|on)$/i.test(value);
  if (!isTree(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withTruthValues(one)]));
}

interface Pair {
  key: string;
  value: string;
  /** As it was given. */
  argument: string;
}

/** Arguments that name keys of the files, each with its value, and those that name the recipe's own. */
function splitArguments(args: readonly string[]): { pairs: Pair[]; rest: string[] } {
  const pairs: Pair[] = [], rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const argument = args[i], equals = argument.indexOf("=");
    const key = equals < 0 ? argument : argument.slice(0, equals);
    if (!/^[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*$/.test(key)) {
      if (equals < 1) {
        throw new ConfigError(`${whatFails(argument)}: it must have the form KEY VALUE or key=value`);
      }
      rest.push(argument);
    } else if (equals > 0) pairs.push({ key, value: argument.slice(equals + 1), argument });
    else {
      const value = args[++i];
      if (value === undefined || isPairKey(value)) {
        throw new ConfigError(`${whatFails(key)}: its value must come behind it, current value is missing`);
      }
      pairs.push({ key, value, argument: `${key} ${value}` });
    }
  }
  return { pairs, rest };
}

function setPair(
  tree: Tree,
  key: string,
  { value, argument, known }: { value: string; argument: string; known: readonly string[] },
): void {
  const what = whatFails(argument);
  if (!known.includes(key)) {
    const example = known.find((name) => name.startsWith(`${key}.`));
    throw new ConfigError(
      example === undefined
        ? `${what}: ${describeUnknownKey(key, known)}`
        : `${what}: ${key} is a section, it must be one of its keys, such as ${example}`,
    );
  }
  setLeaf(tree, key, argumentValue(value, what));
}

/** The keys that were given and say nothing: of them those that say nothing in the published code either. */
function idleKeys(
  given: readonly string[],
  values: Values,
): Pick<Reading, "keysWithoutEffect" | "keysUnread"> {
  const off = [
    ...isInterval(values) ? [] : ["DATA.SAMPLING_RATE", "DATA.TARGET_FPS", "DATA.MINUS_INTERVAL"],
    ...hasJitter(values)
      ? []
      : ["BRIGHTNESS", "CONTRAST", "SATURATION", "HUE", "SHUFFLE", "GRAY_FIRST"].map((key) =>
        `AUGMENTATION.${key}`
      ),
  ];
  const idle = given.filter((key) => !READ_KEYS.includes(key) || off.includes(key));
  const isIdleThere = (key: string) => off.includes(key) || isWithoutEffect(key);
  const unread = idle.filter((key) => !isIdleThere(key));
  return {
    keysWithoutEffect: idle.filter(isIdleThere),
    keysUnread: unread.map((key) => KNOWN_KEYS.includes(key) ? key : `${key} (not known)`),
  };
}

/** What to say of a recipe that can be run. @param own Keys of the recipe's own layout that arguments set. */
function remarksOn(values: Values, own: ReadonlySet<string>): string[] {
  const { DATA, TRAIN, TEST, VIDEO: { BACKBONE } } = values, remarks: string[] = [];
  const gone = (path: string | null): path is string => !!path && !existsSync(path);
  if (hasPublishedPatch(values)) {
    remarks.push(
      `VIDEO.BACKBONE.DIST.S_PATCH_SIZE is ${BACKBONE.DIST.S_PATCH_SIZE}, as published, and cannot be: it is that of ${
        archOf(values)
      }`,
    );
  }
  const weights = mapped("network.weights", values);
  if ((weights === null || gone(weights)) && !own.has("network.weights")) {
    remarks.push(
      `there are no weights ${
        weights === null ? "named" : `at "${weights}"`
      } (VIDEO.BACKBONE.PRETRAIN_WEIGHT_PATH): ` +
        `give CLIP's own file, VIDEO.BACKBONE.PRETRAIN_WEIGHT_PATH ${BACKBONE.META_ARCH_NAME}.pt`,
    );
  }
  for (
    const [key, path, replaced] of [
      ["DATA_ROOT_DIR", DATA.DATA_ROOT_DIR, ["data.root", "data.train_root"]],
      ["ANNO_DIR", DATA.ANNO_DIR, ["data.train_list"]],
    ] as const
  ) {
    if (!gone(path) || replaced.some((one) => own.has(one))) continue;
    remarks.push(`there is no folder "${path}" (DATA.${key}): give yours, DATA.${key} FOLDER`);
  }
  const checkpoint = mapped("pretrain", values);
  if (gone(checkpoint) && !own.has("pretrain")) {
    const key = checkpoint === TRAIN.CHECKPOINT_FILE_PATH ? "TRAIN" : "TEST";
    remarks.push(
      `there is no checkpoint at "${checkpoint}" (${key}.CHECKPOINT_FILE_PATH): give yours, ${key}.CHECKPOINT_FILE_PATH FILE`,
    );
  }
  if (
    TEST.ENABLE && TRAIN.DATASET === "kinetics400" && DATA.ANNO_DIR && !gone(DATA.ANNO_DIR) &&
    gone(join(DATA.ANNO_DIR, "kinetics400_test_list.txt"))
  ) {
    remarks.push(
      `there is no list kinetics400_test_list.txt in "${DATA.ANNO_DIR}": kinetics400_val_list.txt stands in for it`,
    );
  }
  if (values.PAI) {
    remarks.push("PAI has no effect: a run is one process on one GPU, without a cluster's variables");
  }
  if (!TRAIN.ENABLE) {
    remarks.push(
      "train evaluates one view of each clip of the validation list; the published test is eval CHECKPOINT --config FILE " +
        "--test-crops 1 --test-clips 3",
    );
  }
  if (TRAIN.ENABLE && TRAIN.BATCH_SIZE === PUBLISHED_BATCH && !own.has("solver.grad_accumulation_steps")) {
    remarks.push(
      `TRAIN.BATCH_SIZE (${TRAIN.BATCH_SIZE}) is all clips of a step; the published runs had so many on each of 8 GPUs: ` +
        "solver.grad_accumulation_steps=8 makes the same steps",
    );
  }
  return remarks;
}

function mapped(key: string, values: Values): string | null {
  const [, , valueOf] = MAPPING.find(([name]) => name === key)!;
  return valueOf(values) as string | null;
}
