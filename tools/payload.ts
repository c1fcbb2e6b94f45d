/** What an executable of `deno compile` holds, and what it must: the modules that verbs reach, what they name by URL, and packages. */
import { Buffer } from "node:buffer";
import { posix } from "node:path";
import type { Package } from "../cli/extras/_packages.ts";
import type { SourceFile } from "./sources.ts";

/** What no import names: Workers, recipes, and the sources that pages are built of. Folders end with "/". */
export const INCLUDED = [
  "cli/doctor/adapter_worker.ts",
  "cli/ranks/watch_worker.ts",
  "data/frames/decode_worker.ts",
  "train/runtime/device/gpu_worker.ts",
  "configs/",
  "web/",
  "node_modules/esbuild-wasm/esbuild.wasm",
];
/** What sources name and the executable does without: its own root, what is installed beside the sources, and what starts scripts of these. */
const ELSEWHERE = ["", "node_modules/.onnxruntime/", "bench/peers/run.ts", "bench/reference/card.py"];
/** Where a verb begins. */
export const ENTRY = "cli/main.ts";

/** Sources that are reached from the entry and from what is included, over imports of every kind; also texts. */
export function reached(sources: readonly SourceFile[]): Set<string> {
  const loadsOf = new Map(sources.map(({ file, loads = [] }) => [file, loads]));
  const roots = [ENTRY, ...sources.map(({ file }) => file).filter(isIncluded)];
  const files = new Set<string>(), waiting = [...roots];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file) || /^[\w+.-]+:/.test(file)) continue; // packages and modules of the platform
    files.add(file);
    waiting.push(...loadsOf.get(file) ?? []);
  }
  return files;
}

function isIncluded(path: string): boolean {
  return INCLUDED.some((one) => one.endsWith("/") ? path.startsWith(one) : path === one);
}

/** A file or folder that a source names by its URL, and a module that it imports by a name made at run time. */
export interface Named {
  readonly file: string;
  readonly names: string;
}

/** What sources that are reached name in other ways than by an import which the compiler can follow, and what is not in the executable. */
export function unheld(sources: readonly SourceFile[]): Named[] {
  const files = reached(sources), found: Named[] = [];
  for (const { file, text } of sources) {
    if (!files.has(file)) continue;
    for (const [, quote, path] of text.matchAll(/new URL\(\s*(["`])([^"`]*)["`],\s*import\.meta\.url/g)) {
      // Of a name made at run time the folder must be there.
      const literal = quote === "`" ? path.replace(/[^/]*\$\{.*$/, "") : path;
      const target = posix.join(posix.dirname(file), literal).replace(/^\.\/?$/, "");
      if (!files.has(target) && !isIncluded(target) && !ELSEWHERE.includes(target)) {
        found.push({ file, names: target });
      }
    }
    for (const [whole] of text.matchAll(/(?<![\w$.])import\((?!\s*["'])[^)]*\)/g)) {
      found.push({ file, names: whole });
    }
  }
  return found;
}

/** A place in an executable, as deno writes it. */
type Entry =
  | { readonly Dir: { readonly n: string; readonly e: readonly Entry[] } }
  | { readonly File: { readonly n: string } }
  | { readonly Symlink: { readonly n: string; readonly p: readonly string[] } };

/** The files of an executable. */
export class Payload {
  readonly files = new Set<string>();
  readonly #links = new Map<string, string>();

  /** @throws {Error} where the bytes are not those of an executable that `deno compile` made. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#take(listIn(bytes), "");
  }

  #take(entries: readonly Entry[], folder: string): void {
    for (const entry of entries) {
      if ("Dir" in entry) this.#take(entry.Dir.e, `${folder}${entry.Dir.n}/`);
      else if ("File" in entry) this.files.add(folder + entry.File.n);
      else this.#links.set(folder + entry.Symlink.n, entry.Symlink.p.join("/"));
    }
  }

  /** Whether a file is there, also below a link. */
  holds(path: string): boolean {
    if (this.files.has(path)) return true;
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      const target = this.#links.get(path.slice(0, at));
      if (target !== undefined) return this.files.has(target + path.slice(at));
    }
    return false;
  }
}

/** The list of files: JSON behind its length in eight bytes. */
function listIn(bytes: Uint8Array<ArrayBuffer>): Entry[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const head of ['[{"File":{"n":', '[{"Dir":{"n":']) {
    for (let at = buffer.indexOf(head, 8); at >= 0; at = buffer.indexOf(head, at + 1)) {
      const length = Number(buffer.readBigUInt64LE(at - 8));
      if (length > buffer.length - at) continue;
      try {
        return JSON.parse(buffer.toString("utf8", at, at + length));
      } catch {
        continue; // another text that begins alike
      }
    }
  }
  throw new Error("Cannot list the executable: it must be one that deno compile made");
}

/** What must be in an executable and is not. @param packages Those that verbs need, for its system. */
export async function missingIn(
  payload: Payload,
  { sources, packages, root }: { sources: readonly SourceFile[]; packages: readonly Package[]; root: URL },
): Promise<string[]> {
  const wanted = [...reached(sources)];
  for (const path of INCLUDED) wanted.push(...path.endsWith("/") ? await filesBelow(root, path) : [path]);
  for (const { folder } of packages) {
    const own = folder.href.slice(root.href.length);
    wanted.push(`${own}package.json`, ...(await filesBelow(root, own)).filter(isNative));
  }
  return [...new Set(wanted)].filter((path) => !payload.holds(decodeURIComponent(path)));
}

/** Whether a file is machine code. */
function isNative(path: string): boolean {
  return /\.(node|so(\.[\d.]+)?|dylib|dll)$/.test(path);
}

async function filesBelow(root: URL, folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory, isFile } of Deno.readDir(new URL(folder, root))) {
    if (isFile) files.push(folder + name);
    else if (isDirectory && name !== "node_modules") {
      files.push(...await filesBelow(root, `${folder}${name}/`));
    }
  }
  return files;
}
