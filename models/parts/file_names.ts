/** The names of a system's weights in its originals' checkpoints, against those used here. */

import type { WeightSource } from "../params.ts";
import type { ShapeSource } from "../tower.ts";

/** How a system's originals name what is named otherwise here; the same when nothing is given. */
export interface FileNames {
  /** What they put in front of every name. */
  readonly prefix?: string;
  /** Starts of names that they put nothing in front of. */
  readonly unprefixed?: readonly string[];
  /** Parts of names in files of their earlier code, against those of today. */
  readonly renamed?: readonly (readonly [earlier: string, now: string])[];
}

/** The name of a weight in the originals' checkpoints. */
export function originalName({ prefix = "", unprefixed = [] }: FileNames, name: string): string {
  return unprefixed.some((start) => name.startsWith(start)) ? name : prefix + name;
}

/** The name here of a tensor of the originals' checkpoints; null where they name none so. */
export function ownName(
  { prefix = "", unprefixed = [], renamed = [] }: FileNames,
  name: string,
): string | null {
  if (unprefixed.some((start) => name.startsWith(start))) return name;
  if (!name.startsWith(prefix)) return null;
  return renamed.reduce((now, [earlier, later]) => now.replace(earlier, later), name.slice(prefix.length));
}

/**
 * The names here of a checkpoint's tensors, with those that they are stored under. Where nothing has the originals' prefix, it was taken
 * off. What they do not name so keeps its name: nobody knows it, and that is told.
 */
function namesIn(source: ShapeSource, files: FileNames): Map<string, string> {
  const all = [...source.names()], { prefix = "" } = files;
  const form = all.some((name) => name.startsWith(prefix)) ? files : { ...files, prefix: "" };
  return new Map(all.map((name) => [ownName(form, name) ?? name, name]));
}

/** Whether they name everything as it is named here. */
function isSame({ prefix, renamed = [] }: FileNames): boolean {
  return !prefix && renamed.length === 0;
}

/** The tensors of a checkpoint that are named as the originals name them, under the names here. */
export function shapesUnderOwnNames(source: ShapeSource, files: FileNames): ShapeSource {
  if (isSame(files)) return source;
  const names = namesIn(source, files);
  return {
    names: () => names.keys(),
    shapeOf: (name) => names.has(name) ? source.shapeOf(names.get(name)!) : undefined,
  };
}

/** A checkpoint under the names here. */
export function underOwnNames(source: WeightSource, files: FileNames): WeightSource {
  const names = isSame(files) ? null : namesIn(source, files);
  if (names === null || [...names].every(([own, stored]) => own === stored)) return source;
  const stored = (name: string) => names.get(name) ?? originalName(files, name);
  return {
    ...source,
    names: () => names.keys(),
    shapeOf: (name) => source.shapeOf(stored(name)),
    converts: (name) => source.converts?.(stored(name)) ?? true,
    readF32: (name) => source.readF32(stored(name)),
    ...source.foreign && {
      foreign: new Map([...source.foreign].map(([name, what]) => [ownName(files, name) ?? name, what])),
    },
  };
}
