/**
 * The YAML files of Side4Video and TDS-CLIP (spec side4video §5, tds-clip §5). The recipe's own layout is a superset of theirs,
 * so most keys pass through, and a recipe in its own layout is read here too. What is rewritten: Python's None, the name of the
 * few-shot key, keys that have no effect, options that no shipped file switches on, and the network, which the files do not name.
 */

import { z } from "zod";
import { SYSTEMS } from "../../../models/registry.ts";
import type { Requirement } from "../../../models/system.ts";
import { requireAll, schemaError } from "../errors.ts";
import { applyOverrides } from "../overrides.ts";
import { recipeSchema } from "../schema.ts";
import { isTree, type Tree } from "../tree.ts";
import type { Dialect, Reading, ReadOptions } from "./dialect.ts";

/** The network of a file that no system claims. */
const DEFAULT_SYSTEM = "side4video";

/** Keys of the published files that have no effect there (nor here): accepted, and named once in a warning. */
const WITHOUT_EFFECT = {
  data: { seg_length: z.number() },
  network: { type: z.string(), fix_clip: z.boolean() },
  solver: { epoch_offset: z.number(), optim: z.string(), loss_type: z.string(), layer_decay: z.number() },
};

/** The published name of `data.shots` with `data.shots_repeat`. */
const SHOT = z.number().int().positive().nullable();

/** Options of the published code that no shipped file switches on and that are not built: only "off" is accepted. */
const NOT_BUILT = {
  tm: z.union([z.boolean(), z.string()], { error: "must be false" }),
  joint_st: z.boolean(),
  sim_header: z.string().nullable(),
  my_fix_clip: z.boolean(),
  drop_out: z.number().min(0).max(1),
  emb_dropout: z.number().min(0).max(1),
  drop_fc: z.number().min(0).max(1),
};

/** The keys of the published files that are not handed on, by section. */
const SECTIONS = {
  data: z.object({ ...WITHOUT_EFFECT.data, shot: SHOT }).partial(),
  network: z.object({ ...WITHOUT_EFFECT.network, ...NOT_BUILT }).partial(),
  solver: z.object(WITHOUT_EFFECT.solver).partial(),
};
const PUBLISHED = z.object(SECTIONS).partial();

/** Dotted names of the keys without effect. */
export const KEYS_WITHOUT_EFFECT: readonly string[] = Object.entries(WITHOUT_EFFECT).flatMap(
  ([section, keys]) => Object.keys(keys).map((key) => `${section}.${key}`),
);

/** Keys that only the published files have. */
const PUBLISHED_KEYS: readonly string[] = ["data.shot", ...KEYS_WITHOUT_EFFECT];

/** The dialect of Side4Video and TDS-CLIP, and of recipes in their own layout. */
export const side4video: Dialect = {
  id: "side4video",
  keys: PUBLISHED_KEYS,
  publishedNames: new Map([["data.shots", ["data.shot"]], ["data.shots_repeat", ["data.shot"]]]),
  recognises: () => true,
  read,
};

function read(file: Tree, { source, args }: ReadOptions): Reading {
  const known = [...recipeSchema().names, ...PUBLISHED_KEYS];
  const setBy = applyOverrides(file, args, { known });
  const given = noneToNull(file) as Tree;
  const parsed = PUBLISHED.safeParse(sectionsOf(given));
  if (!parsed.success) throw schemaError(parsed.error.issues, { source, tree: given, setBy, known });
  const { data = {}, network = {} } = parsed.data;
  const tree = handedOn(given);
  const ownData = isTree(tree.data) ? tree.data : {};
  requireAll([
    [
      data.shot == null || ownData.shots == null,
      "data.shot",
      "be null when data.shots is given: it is the published name of that",
      data.shot,
    ],
    ...notBuilt(network),
  ], source);
  if (data.shot != null) tree.data = { ...ownData, shots: data.shot, shots_repeat: true };
  const system = tree.system ?? SYSTEMS.find(({ recipe }) => recipe.claims?.(ownData))?.id ?? DEFAULT_SYSTEM;
  return {
    tree: { ...tree, system },
    rest: [],
    setBy,
    keysWithoutEffect: KEYS_WITHOUT_EFFECT.filter((name) => isGiven(given, name)),
    remarks: [],
  };
}

/** The published files write Python's None as a bare word, which YAML reads as text. */
function noneToNull(value: unknown): unknown {
  if (value === "None") return null;
  if (!isTree(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, noneToNull(one)]));
}

/** The sections in which the published files have keys of their own; one that is no mapping is the recipe's to refuse. */
function sectionsOf(tree: Tree): Tree {
  const names = Object.keys(SECTIONS).filter((name) => isTree(tree[name]));
  return Object.fromEntries(names.map((name) => [name, tree[name]]));
}

/** The tree without the keys that are not handed on. */
function handedOn(tree: Tree): Tree {
  const sections = Object.entries(sectionsOf(tree)).map(([name, keys]) => {
    const { shape } = SECTIONS[name as keyof typeof SECTIONS];
    return [
      name,
      Object.fromEntries(Object.entries(keys as Tree).filter(([key]) => !Object.hasOwn(shape, key))),
    ];
  });
  return { ...tree, ...Object.fromEntries(sections) };
}

function isGiven(tree: Tree, name: string): boolean {
  const [section, key] = name.split("."), keys = tree[section];
  return isTree(keys) && Object.hasOwn(keys, key);
}

type NotBuilt = z.output<typeof SECTIONS["network"]>;

function notBuilt(network: NotBuilt): Requirement[] {
  const off = (
    key: keyof NotBuilt,
    isOff: boolean,
    must = "be false: the option is not built",
  ): Requirement => [network[key] === undefined || isOff, `network.${key}`, must, network[key]];
  const zero = (key: keyof NotBuilt) => off(key, network[key] === 0, "be 0: dropout is not built");
  return [
    off("tm", network.tm === false || network.tm === "False"),
    off("joint_st", network.joint_st === false),
    off("sim_header", network.sim_header === null, "be None: there is no fusion head"),
    off("my_fix_clip", network.my_fix_clip === true, "be true: the backbone is always frozen"),
    zero("drop_out"),
    zero("emb_dropout"),
    zero("drop_fc"),
  ];
}
