/** The names of a system's weights in its originals' checkpoints, against those used here. */

import type { WeightSource } from "../params.ts";
import type { ShapeSource } from "../tower.ts";

/** How a system's originals name what is named otherwise here; the same when nothing is given. */
export interface FileNames {
  /** What they put in front of every name. */
  readonly prefix?: string;
  /** Starts of names that they put nothing in front of. */
  readonly unprefixed?: readonly string[];
}

/** The name of a weight in the originals' checkpoints. */
export function originalName({ prefix = "", unprefixed = [] }: FileNames, name: string): string {
  return unprefixed.some((start) => name.startsWith(start)) ? name : prefix + name;
}

/** The name here of a tensor of the originals' checkpoints; null where they name none so. */
export function ownName({ prefix = "", unprefixed = [] }: FileNames, name: string): string | null {
  if (unprefixed.some((start) => name.startsWith(start))) return name;
  return name.startsWith(prefix) ? name.slice(prefix.length) : null;
}

/** The tensors of a checkpoint that are named as the originals name them, under the names here. */
export function shapesUnderOwnNames(source: ShapeSource, files: FileNames): ShapeSource {
  if (!files.prefix) return source;
  const names = [...source.names()].map((name) => ownName(files, name)).filter((name) => name !== null);
  return { names: () => names, shapeOf: (name) => source.shapeOf(originalName(files, name)) };
}

/** A checkpoint under the names here. Where nothing in it has the originals' prefix, it is named so already. */
export function underOwnNames(source: WeightSource, files: FileNames): WeightSource {
  const { prefix } = files, all = [...source.names()];
  if (!prefix || !all.some((name) => name.startsWith(prefix))) return source;
  // What is named otherwise keeps its name: nobody knows it, and that is told.
  const names = new Map(all.map((name) => [ownName(files, name) ?? name, name]));
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
