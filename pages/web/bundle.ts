/**
 * Bundles modules of this project for a browser page: esbuild in this process (its WebAssembly), the project's own import map, texts as
 * texts. What no page has, Deno and modules of Node.js, is refused by name, so that nothing slips into a page that fails there.
 */
import * as esbuild from "esbuild-wasm/esm/browser.js";
import { fileURLToPath, pathToFileURL } from "node:url";

/** A bundle, and what it is made of. */
export interface Bundle {
  readonly code: string;
  /** Bytes in the bundle by source file, as file paths. */
  readonly parts: ReadonlyMap<string, number>;
}

let started: Promise<void> | undefined;

/** Starts the bundler of this process, once. */
async function start(): Promise<void> {
  const wasm = new URL("../esbuild.wasm", import.meta.resolve("esbuild-wasm/esm/browser.js"));
  await esbuild.initialize({
    wasmModule: await WebAssembly.compile(await Deno.readFile(wasm)),
    worker: false,
  });
}

/**
 * Bundles a module with all that it imports into one script.
 *
 * @param options.texts Modules that are texts made elsewhere, by the name under which they are imported.
 * @param options.blank Texts that no code of the page uses, by the end of their path: they are left empty.
 * @param options.absent What is imported on the way and never used in the page, as it is written there.
 * @throws {Error} naming what a page has not, and who imports it.
 */
export async function bundleForPage(
  entry: URL,
  options: {
    texts?: Readonly<Record<string, string>>;
    absent?: readonly string[];
    blank?: RegExp;
    minify?: boolean;
  } = {},
): Promise<Bundle> {
  await (started ??= start());
  const { texts = {}, absent = [], blank, minify = true } = options;
  const result = await esbuild.build({
    entryPoints: [fileURLToPath(entry)],
    bundle: true,
    write: false,
    format: "iife",
    target: ["chrome121", "firefox121", "safari17"],
    charset: "utf8",
    legalComments: "none",
    minify,
    metafile: true,
    logLevel: "silent",
    define: { "import.meta.url": '"about:blank"' },
    plugins: [{ name: "project", setup: (build) => setUp(build, { texts, absent, blank }) }],
  }).catch((error: esbuild.BuildFailure) => {
    const told = error.errors?.slice(0, 5).map(({ text, location }) =>
      location ? `${location.file}:${location.line}: ${text}` : text
    );
    throw new Error(`Cannot build the page: ${told?.join("; ") ?? error.message}`);
  });
  const code = result.outputFiles![0].text, use = /(?<![\w$.])Deno\s*\??\.\s*\w+/.exec(code)?.[0];
  if (use !== undefined) throw new Error(`Cannot build the page: its code uses ${use}, which no page has`);
  const [output] = Object.values(result.metafile!.outputs);
  const parts = Object.entries(output.inputs).map(([file, { bytesInOutput }]) =>
    [file.replace(/^[a-z]+:(?=\/)/, ""), bytesInOutput] as const
  );
  return { code, parts: new Map(parts) };
}

/** The messages of schemas in English alone: the package would bring fifty languages. */
const ONE_LANGUAGE = `export { default as en } from "./en.js";`;
/** What schemas can do besides, and nothing here has them do: become JSON schemas, and code, which a page's policy forbids. */
const UNUSED_OF_SCHEMAS = /\/zod\/v4\/(core|classic)\/(compile|((from|to)-)?json-schema(-\w+)?)\.js$/;

/** A module whose functions do nothing. */
function emptied(contents: string): string {
  const names = contents.matchAll(/^export (?:async )?(?:const|function|class) (\w+)/gm);
  return [...names].map(([, name]) => `export const ${name} = () => {};`).join("\n");
}

function setUp(
  build: esbuild.PluginBuild,
  { texts, absent, blank }: {
    texts: Readonly<Record<string, string>>;
    absent: readonly string[];
    blank?: RegExp;
  },
): void {
  build.onResolve({ filter: /.*/ }, ({ path, importer, kind, pluginData }) => {
    if (kind === "entry-point") return { path, namespace: "project" };
    if (Object.hasOwn(texts, path)) return { path, namespace: "made" };
    if (absent.includes(path)) return { path, namespace: "absent" };
    if (path.startsWith("node:")) {
      // What a package does without where it is not there, it says in its package.json.
      if (importer.includes("/node_modules/")) return { path, namespace: "absent" };
      return { errors: [{ text: `a page has no "${path}", which ${importer} imports` }] };
    }
    const url = /^\.{0,2}\//.test(path)
      ? new URL(path, pathToFileURL(importer))
      : new URL(import.meta.resolve(path));
    return { path: fileURLToPath(url), namespace: "project", pluginData };
  });
  build.onLoad({ filter: /.*/, namespace: "project" }, async ({ path, with: attributes }) => {
    if (path.endsWith("/zod/v4/locales/index.js")) return { contents: ONE_LANGUAGE, loader: "js" };
    if (attributes?.type === "text" && blank?.test(path)) return { contents: "", loader: "text" };
    const contents = await Deno.readTextFile(path);
    if (UNUSED_OF_SCHEMAS.test(path)) return { contents: emptied(contents), loader: "js" };
    if (attributes?.type === "text") return { contents: textOf(path, contents), loader: "text" };
    if (path.endsWith(".json")) return { contents, loader: "json" };
    return { contents, loader: path.endsWith(".ts") ? "ts" : "js" };
  });
  build.onLoad(
    { filter: /.*/, namespace: "made" },
    ({ path }) => ({ contents: texts[path], loader: "text" }),
  );
  // It is told of what nobody listens to.
  build.onLoad({ filter: /^node:diagnostics_channel$/, namespace: "absent" }, () => ({
    contents: "const none = () => ({}); export { none as channel, none as tracingChannel };",
    loader: "js",
  }));
  build.onLoad(
    { filter: /.*/, namespace: "absent" },
    () => ({ contents: "module.exports = {};", loader: "js" }),
  );
}

/** Shaders without their comments and margins: they are a third of the page. */
function textOf(path: string, text: string): string {
  if (!path.endsWith(".wgsl")) return text;
  return text.replace(/[ \t]*\/\/.*$/gm, "").replace(/^[ \t]+/gm, "").replace(/\n{2,}/g, "\n").trimStart();
}
