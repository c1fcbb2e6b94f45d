/** A recipe's YAML as plain objects, before anything is known of its keys. */

import * as YAML from "yaml";
import { encodingOf } from "../../data/datasets/text.ts";
import { reasonOf as systemReason, requireEnd } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";

/** A mapping of keys. */
export type Tree = Record<string, unknown>;

/** Whether a value is a mapping of keys. */
export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Bytes of a recipe's file; the published ones have two thousand. */
const MOST_BYTES = 2 ** 15;
/** Mappings and lists inside each other. */
const MOST_DEPTH = 32;
/** Values of a recipe, each counted as often as an alias repeats it. */
const MOST_VALUES = 10_000;

/**
 * Parses YAML text that must be a mapping; empty text is an empty one.
 *
 * @param source File name for messages.
 * @throws {ConfigError}
 */
export function parseTree(text: string, source: string): Tree {
  return parseFile(text, whatFails(source));
}

/** The beginning of an error. @param namedBy The file that names this one. */
function whatFails(source: string, namedBy?: string): string {
  const by = namedBy === undefined ? "" : `, which "${namedBy}" names`;
  return `Cannot read config "${source}"${by}`;
}

function parseFile(text: string, what: string): Tree {
  try {
    return requireTree(parseYaml(text, what) ?? {}, what);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ConfigError(`${what}: ${error.message}`);
  }
}

/**
 * Checks that a value out of a file (JSON inside a checkpoint) can be a recipe, and copies it.
 *
 * @throws {ConfigError}
 */
export function toTree(value: unknown, source: string): Tree {
  const what = `Cannot read config "${source}"`;
  requireBounded(value, what);
  return structuredClone(requireTree(value, what));
}

function requireTree(value: unknown, what: string): Tree {
  if (isTree(value)) return value;
  const kind = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`;
  throw new ConfigError(`${what}: it must be a mapping of keys, current value is ${kind}`);
}

/**
 * Parses YAML of any kind in bounded time, whoever wrote it: a few bytes of aliases can stand for billions of values, and keys
 * inside keys take the parser hours.
 *
 * @param what What cannot be done when it is refused: the beginning of an error.
 * @throws {SyntaxError} where it is no YAML, with the reason
 * @throws {ConfigError} where it is too much of it
 */
export function parseYaml(text: string, what: string): unknown {
  const refuse = (must: string) => new ConfigError(`${what}: it must ${must}`);
  if (text.length > MOST_BYTES) {
    throw refuse(`have at most ${MOST_BYTES} characters, current number is ${text.length}`);
  }
  const lines = new YAML.LineCounter();
  // The parser would compare every key with every other; they are compared below. Of thousands of errors it would show each.
  const document = YAML.parseDocument(text, { prettyErrors: false, uniqueKeys: false, lineCounter: lines });
  if (document.errors.length > 0) {
    const [{ message, pos: [at] }] = document.errors, { line, col } = lines.linePos(at);
    // The parser tells of its own stack as of an error of the text.
    if (message.includes("call stack")) throw refuse(`be nested at most ${MOST_DEPTH} deep`);
    throw new SyntaxError(`${message.split("\n")[0]} at line ${line}, column ${col}`);
  }
  YAML.visit(document, (_, node, path) => {
    if (path.length > 3 * MOST_DEPTH) throw refuse(`be nested at most ${MOST_DEPTH} deep`);
    if (!YAML.isMap(node)) return;
    const keys = new Set<unknown>();
    for (const { key } of node.items) {
      if (!YAML.isScalar(key)) throw refuse("have plain keys, one is a list, a mapping or an alias");
      if (keys.has(key.value)) {
        const { line, col } = lines.linePos(key.range![0]);
        throw new SyntaxError(`Map keys must be unique at line ${line}, column ${col}`);
      }
      keys.add(key.value);
    }
  });
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith("Unresolved alias")) throw new SyntaxError(message); // "*.png" is meant as text
    throw refuse(`have few aliases: ${message}`);
  }
  requireBounded(value, what);
  return value;
}

/** Also refuses what contains itself: that is nested without end. */
function requireBounded(value: unknown, what: string): void {
  let values = 0;
  const visit = (at: unknown, depth: number) => {
    if (++values > MOST_VALUES) throw new ConfigError(`${what}: it must have at most ${MOST_VALUES} values`);
    if (typeof at !== "object" || at === null) return;
    if (depth > MOST_DEPTH) throw new ConfigError(`${what}: it must be nested at most ${MOST_DEPTH} deep`);
    for (const key in at) visit((at as Tree)[key], depth + 1);
  };
  visit(value, 0);
}

/**
 * Reads a YAML file that must be a mapping.
 *
 * @param options.namedBy The file that names it, for messages.
 * @throws {ConfigError}
 */
export async function readTree(path: string, options: { namedBy?: string } = {}): Promise<Tree> {
  const what = whatFails(path, options.namedBy);
  let text: string;
  try {
    text = await readBounded(path);
  } catch (error) {
    throw new ConfigError(`${what}: ${reasonOf(error as Error)}`, { cause: error });
  }
  if (text.trim() === "") throw new ConfigError(`${what}: the file is empty`);
  return parseFile(text, what);
}

/** The text of a file, of which no more is read than a recipe has: it may be of any size, or have no end. */
async function readBounded(path: string): Promise<string> {
  await requireEnd(path);
  using file = await Deno.open(path);
  const bytes = new Uint8Array(MOST_BYTES + 1);
  let size = 0;
  while (size < bytes.length) {
    const count = await file.read(bytes.subarray(size));
    if (count === null) break;
    size += count;
  }
  if (size > MOST_BYTES) {
    throw new Error(`it must be a recipe of at most ${MOST_BYTES} bytes, the file has more`);
  }
  const encoding = encodingOf(bytes.subarray(0, size));
  if (encoding === "utf-32") {
    throw new Error("it must be text in UTF-8, it looks like UTF-32; save it as UTF-8");
  }
  return new TextDecoder(encoding).decode(bytes.subarray(0, size));
}

function reasonOf(error: Error): string {
  if ((error as { code?: unknown }).code === "ENOENT") return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) {
    return "it must be a YAML file, this is a folder; the recipe of a run is its config.yaml";
  }
  return systemReason(error);
}

/** Sets a dotted key, making the mappings around it. */
export function setLeaf(tree: Tree, key: string, value: unknown): void {
  const path = key.split(".");
  let at = tree;
  for (const part of path.slice(0, -1)) {
    if (!isTree(at[part])) at[part] = {};
    at = at[part] as Tree;
  }
  at[path[path.length - 1]] = value;
}
