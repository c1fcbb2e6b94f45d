/** The command lines of tools that users start as tasks: usage where it is asked for, and one line for what is wrong. */
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, type ParseArgsConfig } from "node:util";

/** Ends a tool with one line. @param code 2: it was called wrongly. */
export function fail(message: string, code = 1): never {
  console.error(message);
  Deno.exit(code);
}

/** The values of a tool's options; `--help` prints the usage and ends the tool. Arguments without a name are refused. */
export function toolOptions<const Options extends NonNullable<ParseArgsConfig["options"]>>(
  options: Options,
  usage: string,
): ReturnType<typeof parseArgs<{ options: Options; allowNegative: true }>>["values"] {
  if (Deno.args.some((argument) => argument === "--help" || argument === "-h")) {
    console.log(usage);
    Deno.exit(0);
  }
  try {
    return parseArgs({ args: Deno.args, options, allowNegative: true }).values;
  } catch (error) {
    // Node's remarks on how to give an argument that begins with a dash are of no use here.
    const [what] = (error as Error).message.split(". ");
    const [command] = usage.split(" [");
    return fail(`${what.replace(/\.$/, "")}; ${command} --help lists the options`, 2);
  }
}

/** Options of where a tool writes: the task gives the folder of the project's builds, the user a file. */
export const OUT_OPTIONS = { out: { type: "string" }, folder: { type: "string", default: "." } } as const;

/** The file that a tool writes: the user's, from where the task was started, or the one of a name among the project's builds. */
export function outFile(
  { out, folder }: { out?: string; folder: string },
  name: string,
): { path: string; shown: string } {
  return out === undefined
    ? { path: fileURLToPath(new URL(`../${folder}/${name}`, import.meta.url)), shown: `${folder}/${name}` }
    : { path: resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), out), shown: out };
}

/** Makes the folder of a file and tries that the file can be written, before the work that it is for; ends the tool in one line where not. */
export async function prepareFile(path: string): Promise<void> {
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    const isNew = !await Deno.stat(path).then(() => true, () => false);
    (await Deno.open(path, { write: true, create: true })).close();
    if (isNew) await Deno.remove(path);
  } catch (error) {
    fail(`Cannot write "${path}": ${(error as Error).message.replace(/ \(os error \d+\).*$/, "")}`);
  }
}
