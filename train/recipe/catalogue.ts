/** All keys of a recipe as people look them up: what each is, takes and is when left out, who reads it, and its published names. */

import { z } from "zod";
import type { System } from "../../models/system.ts";
import { SYSTEMS } from "../../models/registry.ts";
import { dialects } from "./dialects/registry.ts";
import { recipeSchema } from "./schema.ts";

/** A key, or an optional section inside a section (`data.synth`), whose keys follow it. */
export interface CatalogueKey {
  /** With dots: "data.synth.width". */
  readonly name: string;
  /** "data", "network", "solver", "logging", or "" for keys outside the sections. */
  readonly section: string;
  /** What it is, with its unit. */
  readonly help: string;
  /** Allowed values in words: "whole number from 1 to 1024". */
  readonly values: string;
  /** The words that it may be, where it is one of a few; numbers may be allowed besides. */
  readonly choices: readonly string[];
  /** The value of a recipe that leaves it out; undefined where it must be given. */
  readonly default: unknown;
  /** The systems that read it; null: all. */
  readonly systems: readonly string[] | null;
  /** Its names in files of published shapes, where they have others. */
  readonly published: readonly PublishedName[];
}

/** What a key follows from in files of one published shape. */
export interface PublishedName {
  /** Id of the dialect. */
  readonly dialect: string;
  readonly names: readonly string[];
}

/** The sections, in the order of a recipe, with what they hold. */
export const SECTION_TITLES: Readonly<Record<string, string>> = {
  "": "of the run as a whole",
  data: "which clips are read, and how",
  network: "backbone and side network",
  solver: "training",
  logging: "what is said and saved meanwhile",
};

/** All keys in the order of the schema, with those of the systems that are registered now. */
export function catalogue(): CatalogueKey[] {
  return keysIn(recipeSchema().schema, { name: "", systems: null });
}

/**
 * The keys that a word asks for: a section ("solver", "data.synth"), a key by its name, or else whatever holds the word in a name (also a
 * published one) or a text.
 */
export function findKeys(keys: readonly CatalogueKey[], word: string): CatalogueKey[] {
  const asked = word.toLowerCase().replace(/=.*$|\.$/, "");
  const inside = keys.filter(({ name }) =>
    name.toLowerCase() === asked || name.toLowerCase().startsWith(`${asked}.`)
  );
  if (inside.length > 0) return inside;
  const holds = (text: string) => text.toLowerCase().includes(asked);
  const named = keys.filter(({ name, published }) =>
    holds(name) || published.some(({ names }) => names.some(holds))
  );
  return [...named, ...keys.filter((key) => !named.includes(key) && (holds(key.help) || holds(key.values)))];
}

function keysIn(
  schema: z.core.$ZodType,
  place: { name: string; systems: readonly string[] | null },
): CatalogueKey[] {
  const { inner, help, clips } = unwrapped(schema), { name } = place;
  const systems = place.systems ?? systemsOf(name, clips);
  const isSection = inner instanceof z.ZodObject;
  // The recipe itself and its four sections are no keys.
  const own = isSection && !hasDefaultNull(schema) ? [] : [{
    name,
    section: name.includes(".") ? name.split(".", 1)[0] : "",
    help: withoutOwner(help, systems),
    ...valuesOf(schema, isSection),
    systems,
    published: dialects().flatMap(({ id, publishedNames }) => {
      const names = publishedNames?.get(name);
      return names === undefined ? [] : [{ dialect: id, names }];
    }),
  }];
  if (!isSection) return own;
  return [
    ...own,
    ...Object.entries(inner.shape).flatMap(([key, value]) =>
      keysIn(value as z.ZodType, { name: name === "" ? key : `${name}.${key}`, systems })
    ),
  ];
}

/** What is inside defaults and nulls, and what they and it say of themselves. */
function unwrapped(schema: z.core.$ZodType): { inner: z.core.$ZodType; help: string; clips: unknown } {
  let inner = schema, meta = z.globalRegistry.get(schema);
  let help = meta?.description, clips = meta?.clips;
  while (!(inner instanceof z.ZodObject) && "unwrap" in inner && typeof inner.unwrap === "function") {
    inner = inner.unwrap() as z.ZodType;
    meta = z.globalRegistry.get(inner);
    help ??= meta?.description;
    clips ??= meta?.clips;
  }
  return { inner, help: help ?? "", clips };
}

function hasDefaultNull(schema: z.core.$ZodType): boolean {
  const { success, data } = z.safeParse(schema, undefined);
  return success && data === null;
}

/** Who reads a key: a system that declares it, or those that learn from such clips; null: all. */
function systemsOf(name: string, clips: unknown): readonly string[] | null {
  const [section, key] = name.split(".");
  const declares = ({ recipe }: System) =>
    (section === "data" || section === "network") && Object.hasOwn(recipe.keys[section] ?? {}, key);
  const reads = clips === undefined
    ? declares
    : ({ captions = false }: System) => captions === (clips === "captions");
  const ids = SYSTEMS.filter(reads).map(({ id }) => id);
  return ids.length === 0 || ids.length === SYSTEMS.length ? null : ids;
}

/** Texts of a system's keys begin with its name, which stands apart here. */
function withoutOwner(help: string, systems: readonly string[] | null): string {
  return systems?.length === 1 && help.startsWith(`${systems[0]}: `)
    ? help.slice(systems[0].length + 2)
    : help;
}

function valuesOf(
  schema: z.core.$ZodType,
  isSection: boolean,
): Pick<CatalogueKey, "values" | "choices" | "default"> {
  // What a recipe may hold is what goes in; what a transform makes of it is not of interest.
  const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  const values = isSection ? "its keys, or null" : inWords(json);
  return { values, choices: isSection ? [] : choicesOf(json), default: json.default };
}

/** The words of a value that is one of a few; none where it may be any text or a list. */
function choicesOf(schema: JsonSchema): string[] {
  const flat = (form: JsonSchema): JsonSchema[] => form.anyOf?.flatMap(flat) ?? [form];
  const forms = flat(schema);
  if (forms.some(({ type }) => type === "array" || type === "object")) return [];
  if (forms.some((form) => form.type === "string" && form.enum === undefined && !("const" in form))) {
    return [];
  }
  const words = formsOf({ anyOf: forms.filter(({ type }) => type !== "number" && type !== "integer") });
  return words.some((word) => word !== "null") ? words : []; // that nothing is wanted is no choice
}

/** As much of JSON Schema as recipes use. */
interface JsonSchema {
  readonly type?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema | false;
  readonly prefixItems?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
}

function inWords(schema: JsonSchema): string {
  const forms = formsOf(schema);
  return forms.length < 2 ? forms.join() : `${forms.slice(0, -1).join(", ")} or ${forms.at(-1)}`;
}

/** What a value may be, one form after the other; a list, whose words may hold commas, is the last. */
function formsOf(schema: JsonSchema): string[] {
  const { anyOf, enum: choices, type, items, prefixItems } = schema;
  if (anyOf !== undefined) {
    const forms = anyOf.flatMap(formsOf), isList = (form: string) => form.startsWith("list of ");
    return [...forms.filter((form) => !isList(form)), ...forms.filter(isList)];
  }
  if ("const" in schema) return [String(schema.const)];
  if (choices !== undefined) return choices.map(String);
  if (prefixItems !== undefined) return [`[${prefixItems.map(inWords).join(", ")}]`];
  if (type === "array") {
    return [`list of ${items ? inWords(items).replace(/number\b/, "numbers") : "values"}`];
  }
  if (type === "boolean") return ["true", "false"];
  if (type === "string") return ["text"];
  if (type === "integer" || type === "number") return [numberInWords(schema)];
  return [type ?? "any value"];
}

function numberInWords(schema: JsonSchema): string {
  const { type, minimum, exclusiveMinimum, exclusiveMaximum } = schema, isWhole = type === "integer";
  const noun = isWhole ? "whole number" : "number";
  const least = minimum ?? (isWhole && exclusiveMinimum !== undefined ? exclusiveMinimum + 1 : undefined);
  const given = exclusiveMaximum ?? schema.maximum;
  // What is only there so that nothing overflows is no limit that anybody meets.
  const most = given === undefined || given >= NO_LIMIT ? null : given.toLocaleString("en-US");
  const limits = [
    least !== undefined ? `from ${least}` : exclusiveMinimum !== undefined ? `above ${exclusiveMinimum}` : "",
    most === null
      ? ""
      : exclusiveMaximum !== undefined
      ? `below ${most}`
      : least === undefined
      ? `at most ${most}`
      : `to ${most}`,
  ].filter((limit) => limit !== "");
  return [noun, limits.join(least === undefined ? " and " : " ")].filter((part) => part !== "").join(" ");
}

const NO_LIMIT = 1e9;
