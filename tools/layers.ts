/**
 * The rules on who may import whom and who may touch the outside world (docs/architecture.md), as a check over the
 * sources. `tests/layers_test.ts` runs it.
 */
import { posix } from "node:path";

/** One source file as the rules see it; paths are relative to the root, with "/". */
export interface SourceFile {
  readonly file: string;
  /** Files of the project that it imports, static, dynamic, as a type or as a worker, and `node:` modules. */
  readonly imports: readonly string[];
  readonly text: string;
}

/** A broken rule. */
export interface Violation {
  readonly file: string;
  readonly rule: string;
}

/** The rooms, and the rooms each may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: ["lib"],
  pixels: ["pixels", "lib"],
  gpu: ["gpu", "pixels", "lib"],
  data: ["data", "pixels", "lib"],
  models: ["models", "gpu", "pixels", "lib"],
  train: ["train", "models", "gpu", "data", "pixels", "lib"],
  pages: ["pages", "train", "models", "data", "lib"],
  bench: ["bench", "train", "models", "gpu", "data", "pixels", "lib"],
  cli: ["cli", "bench", "pages", "train", "models", "gpu", "data", "lib"],
};

/** The rooms of the product. */
export const ROOMS: readonly string[] = Object.keys(MAY_IMPORT);

/** Folders that no room may import. */
const OUTSIDE = ["tests", "tools"];

/** Rooms that must also work in a browser page; `lib` because they import it. */
const WEB_STANDARD_ROOMS = ["lib", "pixels", "gpu", "models"];

const SIDE_NETWORKS = ["side4video", "tds_clip", "dist", "retrieval"];

/** Files outside the folders that are part of the product. */
const ROOT_MODULE = "mod.ts";

/** Checks every rule. `files` may hold files outside the rooms: those are held to nothing. */
export function findViolations(files: readonly SourceFile[]): Violation[] {
  return files.flatMap((source) => {
    const rules = [...importRules(source), ...textRules(source)];
    return rules.map((rule) => ({ file: source.file, rule }));
  });
}

function roomOf(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "";
}

function sideNetworkOf(file: string): string | undefined {
  const [, name] = file.match(/^models\/([^/.]+)/) ?? [];
  return SIDE_NETWORKS.find((network) =>
    name === network || name?.replace(/^_/, "").startsWith(`${network}_`)
  );
}

function importRules({ file, imports }: SourceFile): string[] {
  const room = roomOf(file), allowed = MAY_IMPORT[room];
  const isProduct = allowed !== undefined || file === ROOT_MODULE;
  if (!isProduct) return [];
  const rules: string[] = [];
  for (const target of imports) {
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
    const from = sideNetworkOf(file), to = sideNetworkOf(target);
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

/** Strings, which hide what looks like a comment, and comments. */
const STRING = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[^]|[^`\\])*`/;
const STRING_OR_COMMENT = new RegExp(`(${STRING.source})|/\\*[^]*?\\*/|//.*`, "g");

function withoutComments(text: string): string {
  return text.replace(STRING_OR_COMMENT, (_, string) => string ?? " ");
}

/** Empties plain strings; templates stay, for they may hold code. */
function withoutStrings(code: string): string {
  return code.replace(new RegExp(STRING.source, "g"), (string) => string.startsWith("`") ? string : '""');
}

/** Reads every TypeScript file of the rooms, with its imports as `deno info` resolves them. `root` ends with "/". */
export async function readSources(root: URL): Promise<SourceFile[]> {
  const files: string[] = [];
  for (const room of ROOMS) await collect(root, `${room}/`, files);
  if (await exists(new URL(ROOT_MODULE, root))) files.push(ROOT_MODULE);
  const imports = await importsOf(root, files);
  return await Promise.all(files.map(async (file) => {
    const text = await Deno.readTextFile(new URL(file, root));
    return { file, text, imports: [...(imports.get(file) ?? []), ...workersOf(file, text)] };
  }));
}

async function collect(root: URL, folder: string, files: string[]): Promise<void> {
  if (!(await exists(new URL(folder, root)))) return;
  for await (const entry of Deno.readDir(new URL(folder, root))) {
    if (entry.isDirectory) await collect(root, `${folder}${entry.name}/`, files);
    else if (entry.name.endsWith(".ts")) files.push(folder + entry.name);
  }
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then(() => true, () => false);
}

/** Imports by file, from one run of `deno info` on a module that imports them all. */
async function importsOf(root: URL, files: readonly string[]): Promise<Map<string, string[]>> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      entry,
      files.map((file) => `import ${JSON.stringify(new URL(file, root).href)};\n`).join(""),
    );
    const { stdout, code } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-lock", "--config", Deno.realPathSync(new URL("deno.json", root)), entry],
    }).output();
    if (code !== 0) throw new Error(`Cannot list imports: deno info must succeed, its exit code is ${code}`);
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      modules: { specifier: string; dependencies?: { code?: Resolved; type?: Resolved }[] }[];
    };
    return new Map(modules.map(({ specifier, dependencies = [] }) => {
      const targets = dependencies.flatMap(({ code, type }) => code?.specifier ?? type?.specifier ?? []);
      return [relative(root, specifier), targets.map((target) => relative(root, target))];
    }));
  } finally {
    await Deno.remove(entry);
  }
}

interface Resolved {
  specifier?: string;
}

function relative(root: URL, specifier: string): string {
  return specifier.startsWith(root.href) ? specifier.slice(root.href.length) : specifier;
}

/** Modules started as workers: `deno info` does not list them. */
function workersOf(file: string, text: string): string[] {
  const urls = text.matchAll(/new URL\(\s*"(\.[^"]+\.ts)"\s*,\s*import\.meta\.url/g);
  return [...urls].map(([, path]) => posix.join(posix.dirname(file), path));
}
