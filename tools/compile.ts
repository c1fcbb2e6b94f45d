/**
 * Compiles sidenet to an executable with `deno compile`, for this system or another (`--target=x86_64-pc-windows-msvc`), and checks that
 * all is in it that verbs need. Its runtime comes from the network, once a target; without one `tools/bundle.ts` writes a file that unpacks
 * itself.
 *
 *     deno run -A tools/compile.ts [--out=FILE] [--target=TARGET] [--verbose]
 */
import { productPackages } from "../cli/extras/_packages.ts";
import { formatBytes, formatCount } from "../lib/text.ts";
import { fail, OUT_OPTIONS, outFile, prepareFile, toolOptions } from "./_options.ts";
import { ROOMS } from "./layers.ts";
import { ENTRY, INCLUDED, missingIn, Payload } from "./payload.ts";
import { readSources } from "./sources.ts";

const ROOT = new URL("../", import.meta.url);
/** The systems that Deno compiles for. */
export const TARGETS: readonly string[] = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-pc-windows-msvc",
  "aarch64-pc-windows-msvc",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
];
const USAGE = `./denow task compile [--out=FILE] [--target=TARGET] [--verbose]

Compiles sidenet to an executable, and checks that all is in it. It fetches a runtime from the network.

  --out=FILE        where it goes; sidenet among the builds of this project by default
  --target=TARGET   the system it is for; this one by default:
${TARGETS.map((target) => `                    ${target}`).join("\n")}
  --verbose         what deno compile says`;

/** The arguments of `deno compile`. Every package that is installed comes along: it takes no exclusions there. */
export function compileArguments({ out, target }: { out: string; target?: string }): string[] {
  return [
    ...["compile", "-P=verbs", "--no-check", "--no-prompt", "--self-extracting", `--output=${out}`],
    ...target === undefined ? [] : [`--target=${target}`],
    ...INCLUDED.map((path) => `--include=${path}`),
    ENTRY,
  ];
}

/** The packages of a target that are machine code, as npm calls its system. */
export function systemOfTarget(target: string): { os: string; arch: string } {
  const [arch, ...rest] = target.split("-"), system = rest.join("-");
  return {
    os: system.includes("windows") ? "win32" : system.includes("darwin") ? "darwin" : "linux",
    arch: arch === "aarch64" ? "arm64" : "x64",
  };
}

/** Runs Deno in the project; what it says is kept. */
async function deno(args: readonly string[]): Promise<{ success: boolean; told: string }> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    stdin: "null",
  })
    .output();
  return { success, told: new TextDecoder().decode(stderr) };
}

/** Why Deno compiled nothing, in one line where it is the network. */
export function failureOf(told: string): string {
  const url = /error sending request for url \((\S+?)\)|Download(?:ing)? (https:\S+)/.exec(told);
  return url
    ? `Cannot compile: the runtime of executables cannot be fetched from ${
      url[1] ?? url[2]
    }; ./denow task bundle writes a file that unpacks itself, without a network`
    : `${
      told.replace(/\s*Stack backtrace:[^]*$/, "").trimEnd()
    }\nCannot compile: deno compile failed, see above`;
}

/** Compiles. @returns Why not, or null. */
async function compile(options: { out: string; target?: string; verbose?: boolean }): Promise<string | null> {
  const { success, told } = await deno(compileArguments(options));
  if (options.verbose) console.error(told.trimEnd());
  return success ? null : failureOf(told);
}

if (import.meta.main) {
  const values = toolOptions({
    ...OUT_OPTIONS,
    target: { type: "string" },
    verbose: { type: "boolean" },
  }, USAGE);
  const { target, verbose } = values;
  if (target !== undefined && !TARGETS.includes(target)) {
    fail(`Cannot compile: --target must be one of ${TARGETS.join(", ")}, current value is ${target}`, 2);
  }
  const { path: out } = outFile(values, "sidenet");
  const isForeign = target !== undefined && target !== Deno.build.target;
  await prepareFile(out);
  if (isForeign) {
    const { os, arch } = systemOfTarget(target);
    await deno(["install", "--quiet", `--os=${os}`, `--arch=${arch}`]);
  }
  let failure: string | null, missing: string[] = [], file = out, count = 0;
  try {
    failure = await compile({ out, target, verbose });
    if (failure === null) {
      file = await Deno.stat(file).then(() => file, () => `${file}.exe`);
      const payload = new Payload(await Deno.readFile(file)),
        sources = await readSources(ROOT, { folders: ROOMS });
      missing = await missingIn(payload, { sources, packages: await productPackages(), root: ROOT });
      count = payload.files.size;
    }
  } finally {
    if (isForeign) await deno(["install", "--quiet"]);
  }
  if (missing.length > 0) {
    failure = `Cannot compile: ${file} must hold ${formatCount(missing.length)} more files, ${
      missing.slice(0, 5).join(", ")
    }`;
  }
  if (failure !== null) fail(failure);
  console.log(
    `${file}: ${formatBytes((await Deno.stat(file)).size)}, ${
      formatCount(count)
    } files in it; run it as sidenet: ${file} --help`,
  );
  console.log(
    `bench peers is not in it: it starts scripts of the sources; ${file} licenses lists what is inside`,
  );
}
