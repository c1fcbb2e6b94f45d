/**
 * Writes docs/config.md, the page of all keys of a recipe.
 *
 *     ./denow task docs:config
 */
import { catalogue } from "../train/recipe/catalogue.ts";
import { configPage } from "../train/recipe/key_text.ts";

/** Where the page lies. */
export const CONFIG_PAGE = new URL("../docs/config.md", import.meta.url);

if (import.meta.main) await Deno.writeTextFile(CONFIG_PAGE, configPage(catalogue()));
