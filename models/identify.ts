/**
 * What a checkpoint is, from its names and sizes alone: which system, on which backbone, with how many classes. Every
 * system's and every tower's record is asked.
 */

import { SYSTEMS } from "./registry.ts";
import type { FilePart, Recognised } from "./system.ts";
import { underOurNames } from "./layouts.ts";
import { ownName, shapesUnderOwnNames } from "./parts/file_names.ts";
import type { ShapeSource, SizesInFile } from "./tower.ts";
import { TOWERS } from "./towers.ts";

/** What a checkpoint looks like. */
export interface Identity {
  /** A system's or a backbone's title: "Side4Video", "CLIP"; or "unknown". */
  readonly system: string;
  /** Published name of the backbone it holds or was trained on, or its sizes in words; null when nothing tells. */
  readonly backbone: string | null;
  /** K of a classifier; null without one. */
  readonly classes: number | null;
  /** D of a side network; null without one. */
  readonly sideDim: number | null;
  /** Whether the frozen backbone is in it. */
  readonly holdsBackbone: boolean;
  /** In whose layout it is: "Hugging Face CLIP"; null without one. */
  readonly layout: string | null;
  /** Whether a trained side network is in it. */
  readonly holdsTrained: boolean;
}

/** What the originals of all systems put in front of a backbone's own names. */
function prefixes(): string[] {
  return [...new Set(SYSTEMS.map(({ files: { prefix = "" } }) => prefix))].filter((prefix) => prefix !== "");
}

/** The system whose files look like this one, with what it says; undefined when there is none. */
function recognise(source: ShapeSource): { files: FilePart; found: Recognised } | undefined {
  for (const { files } of SYSTEMS) {
    const found = files.recognise(shapesUnderOwnNames(source, files));
    if (found) return { files, found };
  }
}

/** Says what a checkpoint looks like. */
export function identify(source: ShapeSource): Identity {
  const trained = recognise(source), classifier = source.shapeOf("fc.weight");
  const held = backboneIn(source);
  return {
    system: trained?.found.title ?? held?.title ?? "unknown",
    backbone: held?.name ?? trained?.found.backbone ?? null,
    classes: classifier?.length === 2 ? classifier[0] : null,
    sideDim: trained?.found.sideDim ?? null,
    holdsBackbone: held !== null,
    layout: held?.layout ?? null,
    holdsTrained: trained !== undefined,
  };
}

/** The image tower in a file, in any layout and whatever stands before its names; null when there is none. */
export function backboneIn(
  source: ShapeSource,
): { title: string; name: string; layout: string; sizes: SizesInFile } | null {
  const laid = underOurNames(source);
  if (laid === null) return null;
  for (const { sizesIn, describe, title } of TOWERS) {
    const sizes = sizesIn(laid.source);
    if (sizes) return { title, name: describe(sizes), layout: laid.layout.title, sizes };
  }
  return null;
}

/** Whether a tensor belongs to a backbone's own file, rather than to what stands beside it. */
export function isBackboneName(name: string): boolean {
  const prefix = prefixes().find((one) => name.startsWith(one)) ?? "";
  return TOWERS.some(({ names }) => names.some((pattern) => pattern.test(name.slice(prefix.length))));
}

/** Tells a checkpoint's trained tensors from its frozen ones: of some systems a part of the backbone is trained as well. */
export function frozenNames(source: ShapeSource): (name: string) => boolean {
  const files = recognise(source)?.files;
  return (name) => {
    // A file whose names were stripped of the original's prefix by hand has them as they are here.
    const own = files && (ownName(files, name) ?? name);
    return isBackboneName(name) && !(own && files?.trains?.(own));
  };
}

/** Numbers that OpenAI's archives hold among the tensors; no checkpoint of a training has them. */
const ARCHIVE_NUMBERS = /^(input_resolution|context_length|vocab_size)$/;

/**
 * Where the tensors of a backbone's own file go in a training checkpoint of the originals, which holds backbone and side
 * network together: new names by old ones. What the trained system does not have is left out.
 */
export function backbonePlaces(trained: ShapeSource, backbone: ShapeSource): Map<string, string> {
  const names = [...trained.names()];
  const prefix = prefixes().find((one) => names.some((name) => name.startsWith(one))) ?? "";
  const files = recognise(trained)?.files, held = new Set(names);
  const places = new Map<string, string>();
  for (const name of backbone.names()) {
    if (!isBackboneName(name) || ARCHIVE_NUMBERS.test(name)) continue;
    if (files?.holdsOfBackbone?.(name) === false || held.has(prefix + name)) continue;
    places.set(name, prefix + name);
  }
  return places;
}

/** One line: "Side4Video on ViT-B/16 with 174 classes (side_dim 320), backbone included". */
export function describeIdentity(identity: Identity): string {
  const { system, backbone, classes, sideDim, holdsBackbone, holdsTrained, layout } = identity;
  if (system === "unknown") return "no model known here";
  if (!holdsTrained) {
    // Its authors' own names need no word.
    return `${system} ${backbone}${
      layout === null || layout === "OpenAI" || layout === system ? "" : `, in the layout of ${layout}`
    }`;
  }
  const details = [
    `${system} on ${backbone ?? "an unknown backbone"}`,
    classes === null ? "" : ` with ${classes} classes`,
    sideDim === null ? "" : ` (side_dim ${sideDim})`,
    holdsBackbone ? ", backbone included" : ", without the backbone",
  ];
  return details.join("");
}
