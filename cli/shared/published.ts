/** The published recipe that help texts show. */
import { SYSTEMS } from "../../models/registry.ts";

const [SHOWN] = SYSTEMS.filter(({ example }) => example !== undefined);

/** Path of its recipe, from the project's folder. */
export const PUBLISHED_RECIPE = SHOWN.example!;
/** Its system, for people. */
export const PUBLISHED_TITLE = SHOWN.title;
