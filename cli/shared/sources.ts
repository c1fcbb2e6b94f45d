/** What a verb is given to work on: a recipe, a folder with a folder for each class, a folder with lists, a run, or several of these. */
import { fileURLToPath } from "node:url";
import { readError } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";
import { RUN_FILES } from "../../train/files/run_folder.ts";
import { findListedFolder, type ListedFolder } from "../../train/run/listed_folder.ts";

/** What a path turns out to be. */
export type Source =
  | { kind: "recipe"; path: string }
  | { kind: "run"; path: string }
  | { kind: "classes"; path: string }
  | { kind: "lists"; path: string; lists: ListedFolder };

/** What stands at a path; null: nothing, and it is not named like a recipe. */
export async function sourceAt(path: string): Promise<Source | null> {
  const info = await Deno.stat(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw readError(path, error);
  });
  if (info === null) {
    return /\.ya?ml$/i.test(path) ? { kind: "recipe", path: await shippedRecipe(path) ?? path } : null;
  }
  if (!info.isDirectory) return { kind: "recipe", path };
  if (await Deno.stat(`${path}/${RUN_FILES.config}`).then(() => true, () => false)) {
    return { kind: "run", path };
  }
  const lists = await findListedFolder(path);
  return lists === null ? { kind: "classes", path } : { kind: "lists", path, lists };
}

const ROOT = new URL("../../", import.meta.url);

/** The recipe that comes with the program under a name such as `configs/demo.yaml`; null where there is none. */
async function shippedRecipe(path: string): Promise<string | null> {
  const url = new URL(path.replaceAll("\\", "/").replace(/^\.\//, ""), ROOT);
  if (!url.href.startsWith(`${ROOT.href}configs/`)) return null;
  return await Deno.stat(url).then(() => fileURLToPath(url), () => null);
}

/** The recipe and the data among the arguments of a verb; a run stands alone. */
export interface Sources {
  recipe: string | null;
  folder: Extract<Source, { kind: "classes" | "lists" }> | null;
  run: string | null;
}

/**
 * Sorts the paths among a verb's arguments.
 *
 * @param what What the verb does, for errors: "train on", "plan".
 * @throws {ConfigError} where there is nothing at one of them, or there are two of a kind
 */
export async function sourcesOf(paths: readonly string[], what: string): Promise<Sources> {
  const sources = await Promise.all(paths.map(sourceAt));
  for (const [i, source] of sources.entries()) {
    if (source !== null) continue;
    throw new ConfigError(
      `Cannot ${what} "${
        paths[i]
      }": it must be a recipe or a folder of class folders, there is no such file or folder`,
    );
  }
  const of = <K extends Source["kind"]>(...kinds: K[]) =>
    sources.filter((source): source is Extract<Source, { kind: K }> => kinds.includes(source!.kind as K));
  const recipes = of("recipe"), folders = of("classes", "lists"), runs = of("run");
  const verb = what.split(" ")[0];
  for (const [kind, given] of [["config", recipes], ["folder", [...folders, ...runs]]] as const) {
    if (given.length <= 1) continue;
    throw new ConfigError(
      `Cannot ${verb}: there must be one ${kind}, current count is ${given.length} (${
        given.map(({ path }) => path).join(", ")
      })`,
    );
  }
  return { recipe: recipes[0]?.path ?? null, folder: folders[0] ?? null, run: runs[0]?.path ?? null };
}
