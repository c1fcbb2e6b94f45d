/** Clips that a model is evaluated on in place of a list's: those of a folder of class folders, by the model's own classes. */
import { resolve } from "node:path";
import type { UnusableClip } from "../../data/datasets/entries.ts";
import { readClassFolders } from "../../data/datasets/folders.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { hasCaptions } from "../feed/lists.ts";
import type { TrainedModel } from "./trained_model.ts";

/** Clips with labels. */
export interface EvaluationSet {
  /** As the user named it. */
  name: string;
  root: string;
  /** Names of frames. */
  template: string;
  clips: readonly ClipRecord[];
}

/** A folder as a set for a model, and what is not in it. */
export interface FoundEvaluationSet {
  set: EvaluationSet;
  unusable: readonly UnusableClip[];
  /** Classes of the folder that the model does not have. */
  unknown: string[];
}

/**
 * Reads a folder of class folders for a model. Where it has folders of splits, the clips for validation count, or those for a test.
 *
 * @throws {DataError} where no clip is of one of the model's classes
 */
export async function readEvaluationSet(
  path: string,
  { config, labels }: Pick<TrainedModel, "config" | "labels">,
  options: { signal?: AbortSignal } = {},
): Promise<FoundEvaluationSet> {
  if (hasCaptions(config)) {
    throw new ConfigError(
      `Cannot evaluate on "${path}": the model compares clips with sentences, so a list of pairs must be given with --list`,
    );
  }
  const info = await Deno.stat(path).catch(() => null);
  if (!info?.isDirectory) {
    const what = info === null ? "there is no such folder" : "it is a file; a list goes with --list";
    throw new ConfigError(`Cannot evaluate on "${path}": it must be a folder of class folders, ${what}`);
  }
  const folder = await readClassFolders(path, {
    valShare: 1,
    seed: 0,
    template: null,
    likelyTemplate: config.data.image_tmpl,
    signal: options.signal,
  });
  const { classes, template, unusable } = folder;
  const own = classes.map((name) => labels.indexOf(name));
  const clips = folder.clips.flatMap(({ path, label, split }, i): ClipRecord[] =>
    split === "val" && own[label] >= 0 ? [{ path, label: own[label], frames: null, line: i + 1 }] : []
  );
  const unknown = classes.filter((_, label) => own[label] < 0);
  if (clips.length === 0) {
    throw new DataError(
      `Cannot evaluate on "${path}": it must hold clips in folders named like the model's classes (${
        shown(labels)
      }), it has ${classes.length === 0 ? "none" : shown(classes)}`,
    );
  }
  return { set: { name: path, root: resolve(path), template, clips }, unusable, unknown };
}

const NAMES_SHOWN = 5;

function shown(names: readonly string[]): string {
  const first = names.slice(0, NAMES_SHOWN).map((name) => JSON.stringify(name)).join(", ");
  return names.length > NAMES_SHOWN ? `${first} and ${names.length - NAMES_SHOWN} more` : first;
}
