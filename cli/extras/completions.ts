/** `sidenet completions`: a shell's completion of verbs, flags, values and keys, made from the verbs' own records. */
import { ConfigError } from "../../lib/errors.ts";
import { catalogue } from "../../train/recipe/catalogue.ts";
import { recipeSchema } from "../../train/recipe/schema.ts";
import {
  type Command,
  COMMON_OPTIONS,
  defineCommand,
  type OptionSpec,
  parseArguments,
} from "../shared/args.ts";
import type { Io } from "../shared/output.ts";
import { bashCompletion } from "./_bash.ts";
import type { Completed, CompletedFlag, CompletedVerb } from "./_completed.ts";
import { fishCompletion } from "./_fish.ts";
import { zshCompletion } from "./_zsh.ts";

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;
const NAMES = Object.keys(SHELLS);

const command = defineCommand({
  name: "completions",
  summary: "Print the completion of verbs, flags and keys for a shell",
  usage: "bash|zsh|fish",
  words: NAMES,
  positionals: { min: 1, max: 1 },
  details:
    `Completes ./denow VERB … and a command named sidenet: verbs, flags, the values of those that take a
few words, files, and the keys of a recipe where they can be given, with their values where these are a few words.`,
  examples: [
    ['eval "$(./denow completions bash)"', "for this bash; the line in ~/.bashrc for every one"],
    ["sidenet completions zsh > ~/.zfunc/_sidenet", "for zsh, in a folder of fpath"],
    ["sidenet completions fish > ~/.config/fish/completions/sidenet.fish", "for fish"],
  ],
  options: {},
});

/** Verbs, as far as they are described. */
type Verbs = readonly { load(): Promise<{ command: Command }> }[];

/** The verb, which completes these. */
export function completionsOf(verbs: Verbs): {
  command: Command;
  run(args: string[], io: Io): Promise<number>;
} {
  return { command, run: (args, io) => printCompletion(args, io, verbs) };
}

async function printCompletion(args: string[], io: Io, verbs: Verbs): Promise<number> {
  const { positionals: [shell] } = parseArguments(command, args);
  if (!Object.hasOwn(SHELLS, shell)) {
    throw new ConfigError(
      `Cannot print completions: the shell must be one of ${NAMES.join(", ")}, current value is "${shell}"`,
    );
  }
  const script = SHELLS[shell as keyof typeof SHELLS](await completed(verbs));
  for (const line of script.trimEnd().split("\n")) io.print(line);
  io.printJson({ shell, script });
  return 0;
}

/** What the verbs' records say. */
async function completed(verbs: Verbs): Promise<Completed> {
  const values = new Map(catalogue().map(({ name, choices }) => [name, choices]));
  return {
    verbs: await Promise.all(verbs.map(async ({ load }) => describe((await load()).command))),
    keys: recipeSchema().keys.map(({ name }) => ({ name, values: values.get(name) ?? [] })),
  };
}

function describe({ name, summary, options, usage, words, offered }: Command): CompletedVerb {
  const flags = Object.entries({ ...options, ...COMMON_OPTIONS } as Record<string, OptionSpec>);
  return {
    name,
    summary,
    words: words ?? offered ?? null,
    takesKeys: usage.includes("key=value"),
    flags: flags.map(([name, spec]) => ({ name, help: spec.help, value: valueOf(spec) })),
  };
}

function valueOf({ type, choices }: OptionSpec): CompletedFlag["value"] {
  if (type === "boolean") return null;
  if (choices) return choices.map(String);
  return type === "string" ? "file" : "any";
}
