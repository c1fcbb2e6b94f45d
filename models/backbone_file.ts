/** What a file gives to a frozen tower: its weights under the names used here, and its position table on the tower's grid. */

import { DataError } from "../lib/errors.ts";
import { shorten } from "../lib/text.ts";
import { type LaidOut, towersIn, underOurNames } from "./layouts.ts";
import { resizePositions } from "./parts/position_grid.ts";
import type { WeightSource } from "./params.ts";
import { gridOf, type Tower, type TowerSizes } from "./tower.ts";
import { towerOf, TOWERS } from "./towers.ts";

/** A file's weights as a tower of some sizes takes them. */
export interface FittedTower {
  readonly source: WeightSource;
  /** The layout of the file, for people; null where no tower was found in it. */
  readonly layout: string | null;
  /** What was done to make it fit, one line each. */
  readonly remarks: readonly string[];
}

/**
 * Takes a file's weights for a tower.
 *
 * @throws {DataError} where the file holds several towers, or a position table that is on no grid.
 */
export function fitTower(source: WeightSource, sizes: TowerSizes): FittedTower {
  const laid = underOurNames(source), remarks: string[] = [];
  if (laid === null) {
    refuseSeveral(source);
    return { source, layout: null, remarks };
  }
  const known = leaveOthers(laid, remarks);
  return { source: fitPositions(known, sizes, remarks), layout: laid.layout.title, remarks };
}

/**
 * A file's weights without what belongs to no tower: a counter, another network. What stands among the tower's own weights and
 * can be read stays, known or not: it may change what the tower gives.
 */
function leaveOthers({ source, prefix, beside }: LaidOut<WeightSource>, remarks: string[]): WeightSource {
  const names = [...source.names()];
  const own = names.filter((name) =>
    name.startsWith("visual.")
      ? source.converts?.(name) ?? true
      : TOWERS.some((tower) => isNameOf(tower, name))
  );
  const left = beside + names.length - own.length;
  if (left > 0) {
    const where = prefix === "" ? "" : ` behind "${shorten(prefix)}"`;
    const tensors = left === 1 ? "1 tensor beside it is" : `${left} tensors beside it are`;
    remarks.push(`of "${source.label}" the tower${where} is taken; ${tensors} left`);
  }
  return { ...source, names: () => own };
}

function isNameOf({ names }: Tower, name: string): boolean {
  return names.some((pattern) => pattern.test(name));
}

function refuseSeveral(source: WeightSource): void {
  const towers = towersIn(source);
  if (towers.length < 2) return;
  const prefixes = towers.slice(0, 4).map(({ prefix }) => `"${shorten(prefix)}"`).join(", ");
  throw new DataError(
    `Cannot load "${source.label}": it must hold one image tower, it holds ${towers.length}, behind ${prefixes}; ` +
      `take one out with sidenet convert ${towers[0].prefix.endsWith("/") ? "--from" : "--strip"}`,
  );
}

/** Puts the position table on the tower's grid, where it is on another. */
function fitPositions(source: WeightSource, sizes: TowerSizes, remarks: string[]): WeightSource {
  const { name, antialias } = towerOf(sizes).positions, stored = source.shapeOf(name);
  if (!stored || stored.length < 2 || stored.at(-1) !== sizes.width) return source;
  const rows = stored.slice(0, -1).reduce((product, size) => product * size, 1), to = gridOf(sizes);
  if (rows === to * to + 1) return source;
  const from = Math.sqrt(rows - 1);
  if (!Number.isInteger(from) || from === 0) {
    const why = Number.isInteger(Math.sqrt(rows))
      ? `it has the ${rows} places of a grid and none for a class token`
      : `its ${rows} places are no square grid and a class token`;
    throw new DataError(
      `Cannot load "${source.label}": tensor "${name}" must have ${
        to * to + 1
      } places, or those of another grid, ` +
        `current shape is [${stored}]: ${why}`,
    );
  }
  remarks.push(
    `the positions of "${source.label}" were learnt on a grid of ${from} x ${from} and are resized to ${to} x ${to} (bicubic)`,
  );
  const shape = [...stored.slice(0, -2), to * to + 1, sizes.width];
  return {
    ...source,
    names: () => source.names(),
    shapeOf: (one) => one === name ? shape : source.shapeOf(one),
    async readF32(one) {
      const values = await source.readF32(one);
      if (one !== name) return values;
      return resizePositions(values, { leading: 1, from, to, width: sizes.width, antialias });
    },
  };
}
