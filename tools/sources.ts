/** The sources as the checks of this folder see them: paths, imports, text. A root is a URL that ends with "/". */
import { posix } from "node:path";

/** One source file as the rules see it; paths are relative to the root, with "/". */
export interface SourceFile {
  readonly file: string;
  /** Files of the project that it imports, static, dynamic or as a type, and `node:` modules. */
  readonly imports: readonly string[];
  /** Those of them that are loaded when it runs: not what it imports as types. */
  readonly loads?: readonly string[];
  /** Modules that it starts as workers. */
  readonly workers?: readonly string[];
  readonly text: string;
}

/** Reads every TypeScript file of some folders and some single files, with their imports as `deno info` resolves them. */
export async function readSources(
  root: URL,
  options: { folders: readonly string[]; files?: readonly string[] },
): Promise<SourceFile[]> {
  const files = [...options.files ?? []];
  for (const folder of options.folders) {
    await collect(root, { folder: `${folder}/`, endings: [".ts"], files });
  }
  const imports = await importsOf(root, files);
  return await Promise.all(files.map(async (file) => {
    const text = await Deno.readTextFile(new URL(file, root));
    return { file, text, ...imports.get(file) ?? { imports: [], loads: [] }, workers: workersOf(file, text) };
  }));
}

/** Paths and texts of the files of some folders whose names end in one of `endings`. */
export async function readTexts(
  root: URL,
  options: { folders: readonly string[]; endings: readonly string[] },
): Promise<{ file: string; text: string }[]> {
  const files: string[] = [];
  for (const folder of options.folders) {
    await collect(root, { folder: `${folder}/`, endings: options.endings, files });
  }
  return await Promise.all(
    files.map(async (file) => ({ file, text: await Deno.readTextFile(new URL(file, root)) })),
  );
}

async function collect(
  root: URL,
  options: { folder: string; endings: readonly string[]; files: string[] },
): Promise<void> {
  const { folder, endings, files } = options;
  if (!(await exists(new URL(folder, root)))) return;
  for await (const entry of Deno.readDir(new URL(folder, root))) {
    if (entry.name === "node_modules") continue; // packages that bench installs
    if (entry.isDirectory) await collect(root, { ...options, folder: `${folder}${entry.name}/` });
    else if (endings.some((ending) => entry.name.endsWith(ending))) files.push(folder + entry.name);
  }
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then(() => true, () => false);
}

/** Imports by file, from one run of `deno info` on a module that imports them all. */
async function importsOf(
  root: URL,
  files: readonly string[],
): Promise<Map<string, Required<Pick<SourceFile, "imports" | "loads">>>> {
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
      const own = (target: string) => relative(root, target);
      const loads = dependencies.flatMap(({ code }) => code?.specifier ?? []).map(own);
      const imports = dependencies.flatMap(({ code, type }) => code?.specifier ?? type?.specifier ?? []).map(
        own,
      );
      return [own(specifier), { imports, loads }];
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

/** Strings, which hide what looks like a comment, and comments. */
const STRING = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[^]|[^`\\])*`/;
const STRING_OR_COMMENT = new RegExp(`(${STRING.source})|/\\*[^]*?\\*/|//.*`, "g");

/** The code of a text: comments become blanks, their lines stay. */
export function withoutComments(text: string): string {
  return text.replace(STRING_OR_COMMENT, (part, string) => string ?? part.replace(/[^\n]+/g, " "));
}

/** Empties plain strings; templates stay, for they may hold code. */
export function withoutStrings(code: string): string {
  return code.replace(new RegExp(STRING.source, "g"), (string) => string.startsWith("`") ? string : '""');
}
