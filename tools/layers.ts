/**
 * The rules on who may import whom and who may touch the outside world (docs/architecture.md), as a check over the
 * sources. `tests/layers_test.ts` runs it.
 */
import { posix } from "node:path";
import { findCircles } from "./circles.ts";
import { type SourceFile, withoutComments, withoutStrings } from "./sources.ts";

/** A broken rule. */
export interface Violation {
  readonly file: string;
  readonly rule: string;
}

/** The rooms, and the rooms each may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: ["lib"],
  mpi: ["mpi", "lib"],
  pixels: ["pixels", "lib"],
  gpu: ["gpu", "pixels", "lib"],
  data: ["data", "pixels", "lib"],
  models: ["models", "gpu", "pixels", "lib"],
  onnx: ["onnx", "gpu", "pixels", "lib"],
  train: ["train", "onnx", "models", "gpu", "data", "mpi", "pixels", "lib"],
  web: ["web", "train", "models", "gpu", "data", "pixels", "lib"],
  pages: ["pages", "web", "train", "models", "data", "lib"],
  bench: ["bench", "train", "models", "gpu", "data", "mpi", "pixels", "lib"],
  cli: ["cli", "bench", "pages", "train", "models", "gpu", "data", "mpi", "lib"],
};

/** The rooms of the product. */
export const ROOMS: readonly string[] = Object.keys(MAY_IMPORT);

/** The rooms within `train/`: each may import itself and those before it. */
export const TRAIN_ROOMS: readonly string[] = [
  "runtime",
  "recipe",
  "feed",
  "tasks",
  "files",
  "evaluation",
  "search",
  "export",
  "features",
  "planning",
  "run",
  "parity",
];

/** Files that a folder holds at most, its subfolders not counted. */
const MOST_FILES = 20;
/** Folders of which each file stands alone beside its like: one op a file. */
const LISTS_OF_LIKE = ["gpu/ops", "gpu/cases"];

/** Folders that no room may import. */
const OUTSIDE = ["tests", "tools"];

/**
 * Rooms that must also work in a browser page; `lib` because they import it. What the page reaches of `data` and `train`, its bundler
 * holds to the same (`pages/web/bundle.ts`).
 */
const WEB_STANDARD_ROOMS = ["lib", "pixels", "gpu", "models", "onnx", "web"];

/** The file outside the folders that is part of the product. */
export const ROOT_MODULE = "mod.ts";

export interface LayerOptions {
  /** Side networks as their files in `models/` are named: `models/NAME.ts`, `models/NAME_part.ts`, `models/NAME/…`. */
  readonly sideNetworks: readonly string[];
}

/** Checks every rule. `files` may hold files outside the rooms: those are held to nothing. */
export function findViolations(files: readonly SourceFile[], options: LayerOptions): Violation[] {
  const single = files.flatMap((source) => {
    const rules = [...importRules(source, options), ...textRules(source)];
    return rules.map((rule) => ({ file: source.file, rule }));
  });
  return [...single, ...circleRules(files), ...folderRules(files)];
}

function circleRules(files: readonly SourceFile[]): Violation[] {
  const inRooms = files.filter(({ file }) => ROOMS.includes(roomOf(file)));
  return findCircles(new Map(inRooms.map(({ file, imports }) => [file, imports]))).map((circle) => ({
    file: circle[0],
    rule: circle.length === 1 ? "imports itself" : `imports itself by way of ${circle.slice(1).join(", ")}`,
  }));
}

function folderRules(files: readonly SourceFile[]): Violation[] {
  const counts = new Map<string, number>();
  for (const { file } of files) {
    if (!ROOMS.includes(roomOf(file))) continue;
    const folder = posix.dirname(file);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts].filter(([folder, count]) => count > MOST_FILES && !LISTS_OF_LIKE.includes(folder))
    .map(([file, count]) => ({ file, rule: `holds ${count} files, more than ${MOST_FILES}` }));
}

function roomOf(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "";
}

/** The room within `train/`, as its place in their order; undefined for other files. */
function placeInTrain(file: string): number | undefined {
  const [, name] = file.match(/^train\/([^/]+)\//) ?? [];
  return name === undefined ? undefined : TRAIN_ROOMS.indexOf(name);
}

function sideNetworkOf(file: string, { sideNetworks }: LayerOptions): string | undefined {
  const [, name] = file.match(/^models\/_?([^/.]+)/) ?? [];
  return sideNetworks.find((network) => name === network || name?.startsWith(`${network}_`));
}

function importRules({ file, imports, workers = [] }: SourceFile, options: LayerOptions): string[] {
  const room = roomOf(file), allowed = MAY_IMPORT[room];
  const isProduct = allowed !== undefined || file === ROOT_MODULE;
  if (!isProduct) return [];
  const rules: string[] = [];
  const place = placeInTrain(file);
  if (place === -1) rules.push("train/ has no such room");
  for (const target of [...imports, ...workers]) {
    if (target.startsWith("node:")) {
      if (WEB_STANDARD_ROOMS.includes(room)) rules.push(`${room}/ must not import "${target}"`);
      continue;
    }
    const targetRoom = roomOf(target);
    if (
      OUTSIDE.includes(targetRoom) || allowed && ROOMS.includes(targetRoom) && !allowed.includes(targetRoom)
    ) {
      rules.push(`${room || file} must not import ${target}`);
    }
    if (posix.basename(target).startsWith("_") && posix.dirname(target) !== posix.dirname(file)) {
      rules.push(`${target} is private to its folder`);
    }
    const targetPlace = placeInTrain(target);
    if (place !== undefined && targetPlace !== undefined && targetPlace > place) {
      rules.push(`train/${TRAIN_ROOMS[place]} comes before ${target}`);
    }
    const from = sideNetworkOf(file, options), to = sideNetworkOf(target, options);
    if (from !== undefined && to !== undefined && from !== to) {
      rules.push(`the side network ${from} must not import another, ${to}`);
    }
  }
  return rules;
}

function textRules({ file, text }: SourceFile): string[] {
  const room = roomOf(file);
  if (!ROOMS.includes(room) && posix.basename(file) !== ROOT_MODULE) return [];
  const rules: string[] = [];
  const code = withoutComments(text);
  if (posix.basename(file) === "mod.ts" && !isOnlyReExports(code)) rules.push("mod.ts must only re-export");
  const words = withoutStrings(code);
  if (room !== "cli" && room !== "bench") { // measurements are also scripts of their own
    for (const name of ["console", "Deno.env", "Deno.exit", "process.env", "process.exit"]) {
      if (new RegExp(`(?<![\\w$.])${name.replace(".", "\\s*\\??\\.\\s*")}\\b(?!\\s*:)`).test(words)) {
        rules.push(`${name} belongs in cli/`);
      }
    }
  }
  if (WEB_STANDARD_ROOMS.includes(room) && /(?<![\w$.])Deno\s*[.[]/.test(words)) {
    rules.push(`${room}/ must not use Deno`);
  }
  return rules;
}

function isOnlyReExports(code: string): boolean {
  const statement =
    /\s*export\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^{}]*\})\s+from\s+"[^"]+"(?:\s+with\s+\{[^{}]*\})?\s*;/g;
  return code.replace(statement, "").trim() === "";
}
