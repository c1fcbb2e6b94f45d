/** Which model a recipe asks for: its system's record says what to build. */

import { type ModelSpec, systemOf } from "../../models/mod.ts";
import type { Config } from "./_settled.ts";

/** The sections that say which model. */
type ModelRecipe = Pick<Config, "system" | "precision" | "data" | "network" | "solver">;

/** Which model a recipe asks for. */
export function modelSpec(recipe: ModelRecipe): ModelSpec {
  const { system, precision: backboneDtype } = recipe;
  return { system, sizes: systemOf(system).recipe.sizes(recipe), backboneDtype };
}

/** Which model a recipe trains: with stored features, one without a tower. */
export function trainingSpec(recipe: ModelRecipe): ModelSpec {
  const spec = modelSpec(recipe);
  return recipe.data.features === null ? spec : { ...spec, taps: "stored" };
}
