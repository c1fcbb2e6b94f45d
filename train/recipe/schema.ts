/**
 * The schema of the recipe: the keys that every recipe has and those of the registered systems, in the sections `data`,
 * `network`, `solver` and `logging`. Values that follow from other values ("auto", null) are settled in `_resolve.ts`.
 */
import { z } from "zod";
import { SYSTEMS } from "../../models/registry.ts";
import {
  DATA_KEYS,
  LOGGING_KEYS,
  MORE_DATA_KEYS,
  MORE_NETWORK_KEYS,
  NETWORK_KEYS,
  SOLVER_KEYS,
  TOP_KEYS,
} from "./_sections.ts";

/** A key of the recipe. */
export interface RecipeKey {
  /** With dots: "data.synth.width". */
  readonly name: string;
  /** What it is, in a few words; "" where its schema says nothing. */
  readonly help: string;
}

/** The schema with the systems that are registered now, and what is read off it. */
export interface RecipeSchema {
  readonly schema: Schema;
  /** All leaf keys in the order of the schema. */
  readonly keys: readonly RecipeKey[];
  /** Dotted names of the keys, the sections and the optional objects inside them: what an argument may set. */
  readonly names: readonly string[];
}

type Schema = ReturnType<typeof schemaWith>;
/** The systems' own keys of a section; which those are, no type tells. */
type OwnKeys = Readonly<Record<never, z.ZodType>>;

/** A recipe as the schema returns it, before `auto` and null are settled. */
export type ParsedConfig = z.output<Schema>;

let remembered: { systems: readonly unknown[]; schema: RecipeSchema } | null = null;

/**
 * The schema of the recipe.
 *
 * @throws {RangeError} where a system's key has no default, or is another's.
 */
export function recipeSchema(): RecipeSchema {
  const systems = [...SYSTEMS];
  const isCurrent = remembered?.systems.length === systems.length &&
    systems.every((system, i) => system === remembered?.systems[i]);
  if (remembered === null || !isCurrent) remembered = { systems, schema: assemble() };
  return remembered.schema;
}

function assemble(): RecipeSchema {
  const own = { data: ownKeys("data"), network: ownKeys("network") };
  const schema = schemaWith(own, SYSTEMS.map(({ id }) => id));
  const keys = leafKeys(schema, "");
  const sections = keys.flatMap(({ name }) =>
    name.split(".").slice(0, -1).map((_, i, all) => all.slice(0, i + 1).join("."))
  );
  return { schema, keys, names: [...keys.map(({ name }) => name), ...new Set(sections)] };
}

/** A section: unknown keys are errors, and a missing section is an empty one. */
const section = <S extends z.ZodRawShape>(shape: S) => z.strictObject(shape).prefault({} as never);

function schemaWith(own: { data: OwnKeys; network: OwnKeys }, ids: readonly string[]) {
  return z.strictObject({
    system: z.enum(ids).nullable().default(null).describe(
      "network to train; when null, the one that the recipe's other keys tell",
    ),
    ...TOP_KEYS,
    data: section({ ...DATA_KEYS, ...own.data, ...MORE_DATA_KEYS }),
    network: section({ ...NETWORK_KEYS, ...own.network, ...MORE_NETWORK_KEYS }),
    solver: section(SOLVER_KEYS),
    logging: section(LOGGING_KEYS),
  });
}

/** The keys of all systems in a section: one that several share is listed once. */
function ownKeys(name: "data" | "network"): OwnKeys {
  const common: z.ZodRawShape = name === "data"
    ? { ...DATA_KEYS, ...MORE_DATA_KEYS }
    : { ...NETWORK_KEYS, ...MORE_NETWORK_KEYS };
  const own: Record<string, z.core.$ZodType> = {};
  for (const { id, recipe } of SYSTEMS) {
    for (const [key, schema] of Object.entries(recipe.keys[name] ?? {})) {
      const refuse = (must: string): never => {
        throw new RangeError(`Cannot use the system "${id}": its key ${name}.${key} must ${must}`);
      };
      if (Object.hasOwn(common, key)) refuse("not be one that every recipe has");
      if (Object.hasOwn(own, key) && own[key] !== schema) refuse("share its schema with the other system's");
      if (!z.safeParse(schema, undefined).success) {
        refuse("have a default: other systems' recipes leave it out");
      }
      own[key] = schema;
    }
  }
  return own;
}

function leafKeys(schema: z.core.$ZodType, prefix: string): RecipeKey[] {
  let inner = schema, help = descriptionOf(schema);
  while (!(inner instanceof z.ZodObject) && "unwrap" in inner && typeof inner.unwrap === "function") {
    inner = inner.unwrap() as z.ZodType;
    help ??= descriptionOf(inner);
  }
  if (!(inner instanceof z.ZodObject)) return [{ name: prefix, help: help ?? "" }];
  return Object.entries(inner.shape).flatMap(([key, value]) =>
    leafKeys(value as z.ZodType, prefix === "" ? key : `${prefix}.${key}`)
  );
}

function descriptionOf(schema: z.core.$ZodType): string | undefined {
  return z.globalRegistry.get(schema)?.description;
}
