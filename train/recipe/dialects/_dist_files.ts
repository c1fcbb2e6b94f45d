/**
 * Which files make up a recipe of DiST (spec dist §5.1): a file's parents, the defaults of all projects below them, and what
 * stands in where the published files are broken (§10.1) or have not been copied.
 */

import { basename, dirname, join, normalize, resolve } from "node:path";
import { ConfigError } from "../../../lib/errors.ts";
import { shortened } from "../errors.ts";
import { textOfValue } from "../../../data/schema.ts";
import { isTree, type Tree } from "../tree.ts";
import type { RecipeFile } from "./dialect.ts";

/** The keys that name parents. */
const PARENT_KEYS = ["_BASE", "_BASE_RUN", "_BASE_MODEL"] as const;
type ParentKey = typeof PARENT_KEYS[number];

/** Where an assembled tree keeps what `takeFound` takes out of it. */
const FOUND = "_FOUND";

/** What else there is to say of an assembled recipe. */
export interface Found {
  /** What the recipe's own files give, without the defaults that they share with others. */
  given: Tree;
  /** What stands in for what, a line each. */
  remarks: string[];
}

/** The defaults of all projects, from the top of the published repository. */
const DEFAULTS_FILE = "configs/pool/base.yaml";

const clip = (name: string): Tree => ({
  MODEL: { NAME: "clip" },
  VIDEO: { BACKBONE: { META_ARCH: "ClipVisionTextTransformer", META_ARCH_NAME: name } },
});

/** Shared files that are known here; all else that they say are the values that hold anyway. */
const BUILT_IN: Readonly<Record<string, Tree>> = {
  "from_scratch_large.yaml": {},
  "clip_vit_base_16.yaml": clip("ViT-B-16"),
  "clip_vit_large_14.yaml": clip("ViT-L-14"),
};

/** What distinguishes the base of Kinetics-400 from that of Something-Something, apart from folders. */
const KINETICS: Tree = {
  TRAIN: { DATASET: "kinetics400" },
  TEST: { DATASET: "kinetics400" },
  VIDEO: { HEAD: { NUM_CLASSES: 400 } },
};

/** A recipe has seven files. */
const MOST_FILES = 32;

/** Whether a tree names parents. */
export function namesParents(tree: Tree): boolean {
  return PARENT_KEYS.some((key) => Object.hasOwn(tree, key));
}

/** The recipe of a file, with its parents and with what `takeFound` gives. */
export async function assemble(tree: Tree, file: RecipeFile): Promise<Tree> {
  return await new Assembly(file).whole(tree);
}

/** Takes out of an assembled tree what is not a part of the recipe. */
export function takeFound(assembled: Tree): { tree: Tree; found: Found } {
  const { [FOUND]: found, ...tree } = assembled;
  return { tree, found: found as Found | undefined ?? { given: tree, remarks: [] } };
}

/** Values of a file and its parents. */
interface Layers {
  /** All that hold. */
  all: Tree;
  /** Without those of run and model files. */
  given: Tree;
}

class Assembly {
  readonly #file: RecipeFile;
  /** The file that the user named. */
  readonly #top: string;
  readonly #remarks: string[] = [];
  /** Shared files that are not there. */
  readonly #missing: string[] = [];
  #files = 0;

  constructor(file: RecipeFile) {
    this.#file = file;
    this.#top = normalize(file.path);
  }

  async whole(tree: Tree): Promise<Tree> {
    const { all, given } = await this.#withParents(tree, [this.#top]);
    const defaults = await this.#defaults();
    if (this.#missing.length > 0) {
      this.#remarks.push(
        `built-in values stand in for ${this.#missing.map((path) => `"${path}"`).join(", ")}, which ${
          this.#missing.length > 1 ? "are" : "is"
        } not there`,
      );
    }
    const whole = merge(defaults, all, { file: this.#top, below: DEFAULTS_FILE });
    this.#repairEvaluation(whole);
    return { ...whole, [FOUND]: { given, remarks: this.#remarks } satisfies Found };
  }

  /** @param chain The files that led here, this one the last. */
  async #withParents(tree: Tree, chain: readonly string[]): Promise<Layers> {
    const path = chain[chain.length - 1];
    const own = Object.fromEntries(
      Object.entries(tree).filter(([key]) => key !== FOUND && !PARENT_KEYS.includes(key as ParentKey)),
    );
    if (tree._BASE != null) {
      const { layers, parent } = await this.#parent(tree, "_BASE", chain);
      const names = { file: path, below: parent };
      return { all: merge(layers.all, own, names), given: merge(layers.given, own, names) };
    }
    let all: Tree = {};
    for (const key of ["_BASE_MODEL", "_BASE_RUN"] as const) {
      if (tree[key] == null) continue;
      const { layers, parent } = await this.#parent(tree, key, chain);
      all = merge(all, layers.all, { file: parent, below: "the model file" });
    }
    return { all: merge(all, own, { file: path, below: "its parents" }), given: own };
  }

  async #parent(
    tree: Tree,
    key: ParentKey,
    chain: readonly string[],
  ): Promise<{ layers: Layers; parent: string }> {
    const path = chain[chain.length - 1], named = tree[key];
    if (typeof named !== "string" || named === "") {
      throw new ConfigError(
        `Cannot read config "${path}": ${key} must be the path of another file, current value is ${
          shortened(textOfValue(named))
        }`,
      );
    }
    const parent = this.#pathOf(named, path);
    if (chain.includes(parent)) {
      throw new ConfigError(
        `Cannot read config "${this.#top}": its parents must not name each other in a circle, current chain is ${
          [...chain, parent].map((one) => `"${one}"`).join(", ")
        }`,
      );
    }
    if (++this.#files > MOST_FILES) {
      throw new ConfigError(
        `Cannot read config "${this.#top}": it must be made of at most ${MOST_FILES} files, it has more`,
      );
    }
    if (key !== "_BASE" && Object.hasOwn(BUILT_IN, basename(parent)) && !await exists(parent)) {
      this.#missing.push(parent);
      const all = structuredClone(BUILT_IN[basename(parent)]);
      return { layers: { all, given: {} }, parent };
    }
    const base = await this.#base(parent, path);
    return { layers: await this.#withParents(base.tree, [...chain, base.path]), parent: base.path };
  }

  /** Where a parent lies: from the file that names it where it begins with "..", from the top one where with "./"; or as it is. */
  #pathOf(named: string, path: string): string {
    if (named[1] === ".") return join(dirname(path), named);
    return named.startsWith("./") ? join(dirname(this.#top), named) : normalize(named);
  }

  /** A parent, or what stands in for it where the published files name the wrong one, or one that there is not. */
  async #base(parent: string, by: string): Promise<{ tree: Tree; path: string }> {
    const isKinetics = basename(dirname(resolve(this.#top))) === "k400" && by === this.#top;
    const wanted = isKinetics ? parent.replace(/_ssv2(\.ya?ml)$/, "_k400$1") : parent;
    if (wanted !== parent) {
      this.#remarks.push(
        `"${by}" is a recipe of Kinetics-400 on a base of Something-Something, as published: data set, classes and folders are ` +
          `those of "${wanted}"`,
      );
    }
    const path = await exists(wanted)
      ? wanted
      : wanted.replace(/vit_large_14(_\w+\.ya?ml)$/, "vit_base_16$1");
    const isLarge = path !== wanted;
    if (isLarge) {
      this.#remarks.push(
        `"${wanted}" is not there, as in the published repository: "${path}" stands in, with the model file of ViT-L/14`,
      );
    }
    const substitute = path.replace(/_k400(\.ya?ml)$/, "_ssv2$1");
    const hasOwn = wanted === parent || await exists(path);
    const file = hasOwn ? path : substitute;
    const tree = await this.#file.readTree(file, { namedBy: by });
    const model = tree._BASE_MODEL;
    if (isLarge && typeof model === "string") {
      tree._BASE_MODEL = model.replace("clip_vit_base_16", "clip_vit_large_14");
    }
    return { tree: hasOwn ? tree : merge(tree, KINETICS, { file, below: file }), path: file };
  }

  /** The defaults of all projects: from the working folder, as published, or from the repository that holds the recipe. */
  async #defaults(): Promise<Tree> {
    const [, root] = /^(.*\/)configs\/projects\//.exec(resolve(this.#top)) ?? [];
    for (const path of [DEFAULTS_FILE, ...root === undefined ? [] : [join(root, DEFAULTS_FILE)]]) {
      if (await exists(path)) return await this.#file.readTree(path, { namedBy: this.#top });
    }
    this.#missing.push(DEFAULTS_FILE);
    return {};
  }

  /** The published file that evaluates a checkpoint is named after another one, writes where another one does, and trains. */
  #repairEvaluation(whole: Tree): void {
    const { TRAIN: train, TEST: test, DATA: data } = whole;
    if (!/-eval\.ya?ml$/.test(this.#top) || !isTree(train) || train.ENABLE !== true || !isTree(test)) return;
    if (typeof test.CHECKPOINT_FILE_PATH !== "string" || test.CHECKPOINT_FILE_PATH === "") return;
    train.ENABLE = false;
    const isMislabelled = /8\+16f-eval\.ya?ml$/.test(this.#top) && isTree(data) &&
      data.NUM_INPUT_FRAMES === 32;
    if (isMislabelled) whole.OUTPUT_DIR = "output/vit-b16-16+32f_k400-eval";
    this.#remarks.push(
      `"${this.#top}" evaluates TEST.CHECKPOINT_FILE_PATH and does not train (TRAIN.ENABLE is false)` +
        (isMislabelled ? "; it is the recipe with 16 + 32 frames, and its run is named so" : ""),
    );
  }
}

/**
 * Values on top of others: mappings key by key, all else as a whole, lists and null too.
 *
 * @throws {ConfigError} where a mapping is laid on a value.
 */
function merge(below: Tree, above: Tree, names: { file: string; below: string }, prefix = ""): Tree {
  const merged: Tree = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const before = Object.hasOwn(below, key) ? below[key] : undefined;
    if (!isTree(value) || before == null) merged[key] = structuredClone(value);
    else if (isTree(before)) merged[key] = merge(before, value, names, `${prefix}${key}.`);
    else {
      throw new ConfigError(
        `Cannot read config "${names.file}": ${prefix}${key} must be a value as in ${names.below}, current value is a mapping of keys`,
      );
    }
  }
  return merged;
}

/** Whether something is there, be it not readable. */
async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(
    () => true,
    (error) => !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory),
  );
}
