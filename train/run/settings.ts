/** What tells the recipes of several runs apart, and whether they were judged on the same clips. */

import { basename, isAbsolute, relative, resolve } from "node:path";
import { textOfValue, valueAt } from "../../data/schema.ts";
import { shorten } from "../../lib/text.ts";
import { listDigest, readSplit } from "../feed/lists.ts";
import type { Config } from "../recipe/config.ts";
import { recipeSchema } from "../recipe/schema.ts";

/** Keys that every run has its own of, or that stand in other rows. */
const LEFT_OUT = ["system", "name", "run_root", "started_in", "resume", "network.arch"];

/** A run's folder and its recipe. */
export interface RunRecipe {
  readonly path: string;
  readonly config: Config;
}

/** A key in which recipes differ, with the text of its value in each of them; "–" where it has none. */
export interface DifferingSetting {
  readonly key: string;
  readonly values: readonly string[];
}

/** The keys in which the recipes of runs differ, in the order of a recipe. */
export function differingSettings(runs: readonly RunRecipe[]): DifferingSetting[] {
  return recipeSchema().keys.map(({ name }) => name).filter((key) => !LEFT_OUT.includes(key)).flatMap(
    (key) => {
      const values = runs.map(({ path, config }) => settingText(valueAt(config, key.split(".")), path));
      return values.every((value) => value === values[0]) ? [] : [{ key, values }];
    },
  );
}

function settingText(value: unknown, run: string): string {
  if (value === undefined) return "–";
  if (typeof value !== "string") return shorten(textOfValue(value), 60);
  const inside = isAbsolute(value) ? relative(resolve(run), value) : "..";
  return inside.startsWith("..") ? shorten(value, 60) : `its own ${inside}`;
}

/** The clips that a run was judged on. */
export interface ValidationSet {
  /** Equal where the clips are. */
  readonly id: string;
  /** null where the list cannot be read any more. */
  readonly clips: number | null;
}

/** The validation set of a recipe: its clips by paths and labels, and the folder they lie in; its list by name where that is gone. */
export async function validationSet({ config }: RunRecipe): Promise<ValidationSet> {
  const { val_root: own, root, val_list: list, num_classes: classes } = config.data;
  const folder = basename(own ?? root ?? "");
  try {
    const clips = await readSplit(config, "val");
    return { id: `${folder} ${listDigest(clips)}`, clips: clips.length };
  } catch {
    return { id: `${folder} ${basename(list ?? "")} ${classes}`, clips: null };
  }
}

/** Letters for validation sets, equal ones alike: "A: 120 clips"; "A" where the clips cannot be counted any more. */
export function namesOfSets(sets: readonly ValidationSet[]): string[] {
  const ids = [...new Set(sets.map(({ id }) => id))];
  return sets.map(({ id, clips }) => {
    const place = ids.indexOf(id), letter = place < 26 ? String.fromCharCode(65 + place) : `set ${place + 1}`;
    return clips === null ? `${letter} (list not found)` : `${letter}: ${clips} clips`;
  });
}
