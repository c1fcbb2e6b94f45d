/**
 * Arguments of a verb: a table of flags gives the types, the checks and the help text. Parsing is `node:util`'s
 * parseArgs; a wrong flag is one line and exit code 2.
 */
import { parseArgs } from "node:util";
import { ConfigError } from "../../lib/errors.ts";
import { nearestName } from "../../lib/nearest_name.ts";

/** A flag. Its key in the table is its long name, words joined by "-". */
export interface OptionSpec {
  type: "boolean" | "string" | "number" | "integer";
  /** One clause, for the help. */
  help: string;
  /** One-letter form, for the few flags typed all day. */
  short?: string;
  /** Placeholder of the value in the help; the type's name by default. */
  placeholder?: string;
  /** Allowed values. */
  choices?: readonly (string | number)[];
  /** Smallest allowed number. */
  min?: number;
  /** The flag may be repeated, and its value is a list. */
  multiple?: boolean;
}

/** What one word of a verb does: `bench step`. */
export interface CommandPart {
  /** Paragraphs for its help. */
  details: string;
  /** Arguments after the word; none by default. */
  usage?: string;
  /** Flags of the verb that it takes, by long name. */
  options: readonly string[];
}

/** A verb, as its file declares it. */
export interface Command {
  name: string;
  /** One line for the list of verbs, without a full stop. */
  summary: string;
  /** Arguments after the verb, such as `[CONFIG] [key=value …]`. */
  usage: string;
  /** Paragraphs for the verb's help. */
  details?: string;
  /** Whole command lines, each with what it does. */
  examples?: readonly (readonly [line: string, does: string])[];
  options: Readonly<Record<string, OptionSpec>>;
  /** What the first argument may be, where only a few words can stand there. */
  words?: readonly string[];
  /** Words that a shell offers for the first argument, where others are possible too. */
  offered?: readonly string[];
  /** What some of these words do, where each is a thing of its own with help of its own. */
  parts?: Readonly<Record<string, CommandPart>>;
  /** How many arguments besides flags are allowed; no limit by default. */
  positionals?: { min?: number; max?: number };
  /** On an interruption it saves what it has before it ends, however long that takes. */
  savesOnInterrupt?: boolean;
}

type ValueOf<O extends OptionSpec> = O["type"] extends "boolean" ? boolean
  : O["type"] extends "string" ? string
  : number;
type Typed<O extends OptionSpec> = O["multiple"] extends true ? ValueOf<O>[] : ValueOf<O>;

/** Flags that were given, by long name. A flag that was not given is absent; a `multiple` one is then an empty list. */
export type OptionValues<C extends Command> =
  & {
    [K in keyof C["options"] as C["options"][K]["multiple"] extends true ? never : K]?: Typed<
      C["options"][K]
    >;
  }
  & {
    [K in keyof C["options"] as C["options"][K]["multiple"] extends true ? K : never]: Typed<C["options"][K]>;
  };

/** Flags that every verb takes; `cli/main.ts` acts on them. */
export const COMMON_OPTIONS = {
  help: { type: "boolean", short: "h", help: "show this help" },
  json: { type: "boolean", help: "results on stdout as JSON, one object or one a line" },
  debug: { type: "boolean", help: "show the stack of an error" },
  device: {
    type: "string",
    placeholder: "DEVICE",
    help: "compute on this device: its number, name or PCI address, as `sidenet doctor` lists them",
  },
} as const satisfies Record<string, OptionSpec>;

/** Declares a verb, keeping the exact type of its flags. */
export function defineCommand<const C extends Command>(command: C): C {
  return command;
}

/**
 * Parses the arguments of a verb.
 *
 * @returns `values`, the flags that were given, and `positionals`, the other arguments
 * @example `const { values, positionals } = parseArguments(command, args); values["test-crops"] ?? 3`
 */
export function parseArguments<C extends Command>(
  command: C,
  args: readonly string[],
): { values: OptionValues<C>; positionals: string[] } {
  const table: Record<string, OptionSpec> = { ...command.options, ...COMMON_OPTIONS };
  const { tokens } = parseArgs({
    args: joinNegativeNumbers(args, table),
    options: Object.fromEntries(
      Object.entries(table).map(([name, { type, short }]) => [
        name,
        { type: type === "boolean" ? "boolean" : "string", ...(short && { short }) } as const,
      ]),
    ),
    allowPositionals: true,
    // Flags are checked here, in our own words.
    strict: false,
    tokens: true,
  });
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(command.options)) if (spec.multiple) values[name] = [];
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value.replace(NO_FLAG, ""));
    if (token.kind !== "option") continue;
    const spec = table[token.name];
    if (spec === undefined) throw unknownFlag(command, token.rawName, table);
    const value = parseValue(spec, token.rawName, token.value?.replace(NO_FLAG, ""));
    if (spec.multiple) (values[token.name] as unknown[]).push(value);
    else values[token.name] = value;
  }
  checkPositionals(command, positionals);
  return { values: values as OptionValues<C>, positionals };
}

/** Marks an argument that begins with "-" and is no flag. */
const NO_FLAG = "\0";

/** `--shift -3`, `LR -3`: an argument that is a number is the value of the flag before it or an argument of its own, not a flag. */
function joinNegativeNumbers(args: readonly string[], table: Record<string, OptionSpec>): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const previous = joined.at(-1) ?? "";
    const wantsNumber = ["number", "integer"].includes(table[previous.replace(/^--/, "")]?.type ?? "");
    if (!/^-[.\d]/.test(arg)) joined.push(arg);
    else if (previous.startsWith("--") && wantsNumber) joined[joined.length - 1] = `${previous}=${arg}`;
    else joined.push(NO_FLAG + arg);
  }
  return joined;
}

function unknownFlag(command: Command, raw: string, table: Record<string, OptionSpec>): ConfigError {
  const nearest = nearestName(raw.replace(/^-+/, ""), Object.keys(table));
  const hint = nearest === undefined
    ? `see "sidenet ${command.name} --help"`
    : `the nearest known flag is "--${nearest}"`;
  return new ConfigError(`Cannot parse flag "${raw}": ${command.name} has no such flag; ${hint}`);
}

function parseValue(spec: OptionSpec, flag: string, text: string | undefined): string | number | boolean {
  const refuse = (must: string) =>
    new ConfigError(
      `Cannot parse flag "${flag}": expected ${must}, current value is ${
        text === undefined ? "missing" : `"${text}"`
      }`,
    );
  if (spec.type === "boolean") {
    if (text !== undefined) throw refuse("no value");
    return true;
  }
  const kinds = { string: "a value", number: "a number", integer: "a whole number" };
  if (text === undefined || text === "") throw refuse(kinds[spec.type]);
  const value = spec.type === "string" ? text : Number(text);
  if (
    typeof value === "number" &&
    !(spec.type === "integer" ? Number.isSafeInteger(value) : Number.isFinite(value))
  ) {
    throw refuse(kinds[spec.type]);
  }
  if (spec.choices !== undefined && !spec.choices.includes(value)) {
    throw refuse(`one of ${spec.choices.join(", ")}`);
  }
  if (typeof value === "number" && spec.min !== undefined && value < spec.min) {
    throw refuse(`at least ${spec.min}`);
  }
  return value;
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const { min = 0, max = Infinity } = command.positionals ?? {};
  if (given.length < min) {
    throw new ConfigError(
      `Cannot run "sidenet ${command.name}": expected ${command.usage}, current value is ${
        given.length === 0 ? "no argument" : `"${given.join(" ")}"`
      }`,
    );
  }
  if (given.length > max) {
    throw new ConfigError(
      `Cannot run "sidenet ${command.name}": there is no place for the argument "${given[max]}"`,
    );
  }
}

/** The value of a common flag; null where it was not given. What is wrong with it, the verb says. */
export function commonValue(args: readonly string[], name: "device"): string | null {
  const end = args.indexOf("--"), flags = end < 0 ? args : args.slice(0, end), flag = `--${name}`;
  const at = flags.findLastIndex((arg) => arg === flag || arg.startsWith(`${flag}=`));
  if (at < 0) return null;
  return (flags[at] === flag ? flags[at + 1] : flags[at].slice(flag.length + 1)) || null;
}

/** Whether a common flag stands among the arguments (before a "--"). */
export function hasCommonFlag(args: readonly string[], name: keyof typeof COMMON_OPTIONS): boolean {
  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  const spec: OptionSpec = COMMON_OPTIONS[name];
  return flags.includes(`--${name}`) || (spec.short !== undefined && flags.includes(`-${spec.short}`));
}

/**
 * The help of a verb, or of the part of it that is named.
 *
 * @param program What people type before a verb; examples are written with "sidenet".
 * @param args What stands behind the verb.
 */
export function helpOf(whole: Command, program = "sidenet", args: readonly string[] = []): string {
  const word = args.find((arg) => Object.hasOwn(whole.parts ?? {}, arg));
  const command = word === undefined ? whole : partOf(whole, word);
  const sections = [`Usage: ${program} ${command.name} ${command.usage}`.trimEnd(), command.summary + "."];
  if (command.details) sections.push(command.details);
  sections.push("Options:\n" + optionLines({ ...command.options, ...COMMON_OPTIONS }));
  if (command.examples?.length) {
    sections.push(
      "Examples:\n" +
        twoColumns(command.examples.map(([line, does]) => [line.replace(/^sidenet(?= )/, program), does])),
    );
  }
  return sections.join("\n\n");
}

/** A part of a verb as a command. */
function partOf(command: Command, word: string): Command {
  const { details, usage = "", options } = command.parts![word], name = `${command.name} ${word}`;
  return {
    ...command,
    name,
    usage,
    details: details[0].toUpperCase() + details.slice(1),
    options: Object.fromEntries(options.map((option) => [option, command.options[option]])),
    examples: command.examples?.filter(([line]) => line.startsWith(`sidenet ${name}`)),
  };
}

/**
 * Refuses flags that none of the named parts of a verb takes, which would be passed over.
 *
 * @example `requireTaken(command, ["peak"], { small: true })` says that --small is for "bench ops" and "bench card"
 */
export function requireTaken(command: Command, parts: readonly string[], values: object): void {
  const all = Object.entries(command.parts ?? {});
  for (const [flag, value] of Object.entries(values)) {
    const isGiven = value !== undefined && !(Array.isArray(value) && value.length === 0);
    if (!isGiven || Object.hasOwn(COMMON_OPTIONS, flag)) continue;
    const takers = all.filter(([, { options }]) => options.includes(flag)).map(([name]) => name);
    if (parts.some((name) => takers.includes(name))) continue;
    throw new ConfigError(
      `Cannot parse flag "--${flag}": it is for ${
        takers.map((name) => `"${command.name} ${name}"`).join(", ")
      }, current is ${parts.map((name) => `"${command.name} ${name}"`).join(", ")}`,
    );
  }
}

function optionLines(options: Readonly<Record<string, OptionSpec>>): string {
  return twoColumns(
    Object.entries(options).map(([name, spec]) => {
      const short = spec.short ? `-${spec.short}, ` : "    ";
      const value = spec.type === "boolean" ? "" : ` ${spec.placeholder ?? spec.type.toUpperCase()}`;
      const choices = spec.choices ? ` (${spec.choices.join(", ")})` : "";
      return [`${short}--${name}${value}`, spec.help + choices + (spec.multiple ? "; may be repeated" : "")];
    }),
  );
}

/** Lines of two aligned columns, indented, as one text. */
export function twoColumns(rows: readonly (readonly [string, string])[]): string {
  return columnLines(rows).join("\n");
}

/** The same, line by line. */
export function columnLines(rows: readonly (readonly [string, string])[]): string[] {
  const width = rows.reduce((most, [left]) => Math.max(most, left.length), 0);
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
