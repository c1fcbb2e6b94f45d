/** Where measured kernel choices are kept: `$XDG_CACHE_HOME/sidenet/tuned.json`, or under `~/.cache`. */
import { join } from "node:path";
import { formatCount } from "../../lib/text.ts";
import {
  addChoices,
  type Measured,
  readChoices,
  type TunedChoices,
} from "../../train/runtime/device/tuned.ts";
import { userCache } from "./cache.ts";
import type { Io } from "./output.ts";

/** The flag of verbs that measure kernels by themselves. */
export const TUNE_OPTION = {
  "no-tune": {
    type: "boolean",
    help: "measure no kernels on an adapter that is not known yet (SIDENET_TUNE=off for all runs)",
  },
} as const;

/** Kernels that give wrong results, named at most. */
const WRONG_NAMED = 3;

/** Path of the file; null where no home is known. */
export function tunedFile(): string | null {
  const cache = userCache();
  return cache === null ? null : join(cache, "tuned.json");
}

/** The choices measured so far on this machine. @param io Told of a file that cannot be read. */
export async function tunedChoices(io: Pick<Io, "note">): Promise<TunedChoices> {
  const path = tunedFile();
  return { known: path === null ? new Map() : await readChoices(path, io.note) };
}

/** The same for a verb that measures what is missing, unless `SIDENET_TUNE` is off, and tells of it. */
export async function measuredChoices(
  values: { "no-tune"?: boolean },
  io: Pick<Io, "note">,
): Promise<TunedChoices> {
  const path = tunedFile(), choices = await tunedChoices(io);
  if (path === null || values["no-tune"] || Deno.env.get("SIDENET_TUNE") === "off") return choices;
  return {
    ...choices,
    async keep(measured) {
      tellMeasured(measured, path, io);
      await addChoices(path, measured.choices).catch((error: Error) =>
        io.note(`warning: the choice of kernels is not kept: ${error.message}`)
      );
    },
  };
}

/** Says what a measurement found. */
export function tellMeasured(
  { measured, changed, seconds, left, wrong }: Measured,
  path: string,
  io: Pick<Io, "note">,
): void {
  for (const what of wrong.slice(0, WRONG_NAMED)) {
    io.note(`warning: a kernel computes wrongly on this adapter and is left out: ${what}`);
  }
  const more = wrong.length - WRONG_NAMED;
  if (more > 0) io.note(`warning: ${formatCount(more)} more kernels compute wrongly on this adapter`);
  const rest = left > 0 ? `, ${formatCount(left)} more wait for the next run` : "";
  io.note(
    `kernels: ${formatCount(measured)} measured in ${seconds.toFixed(1)} s, ${
      formatCount(changed)
    } other than the default${rest}; kept in ${path} (--no-tune measures none)`,
  );
}
