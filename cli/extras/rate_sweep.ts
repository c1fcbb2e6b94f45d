/** `train solver.find_lr=N`: a sweep of the learning rate in place of training. */
import { join } from "node:path";
import { writeFileWhole } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatBytes, formatCount, formatValue } from "../../lib/text.ts";
import { describeSweep, renderRatePage } from "../../pages/rate_page.ts";
import { createRunFolder } from "../../train/files/run_folder.ts";
import type { Config } from "../../train/recipe/config.ts";
import { type FolderRecipe, keepLists } from "../../train/run/class_folders.ts";
import { findRate } from "../../train/run/find_rate.ts";
import type { EarlyDevice } from "../../train/runtime/open_session.ts";
import { abandoned } from "../shared/interruption.ts";
import type { Io } from "../shared/output.ts";
import { tunedChoices } from "../shared/tuned.ts";
import { tellStages } from "../text/stages.ts";

/** Refuses a sweep of a run that goes on, before weights are fetched and data is made. */
export function requireNewRun({ solver }: Config, options: { resumes: boolean }): void {
  if (solver.find_lr === null || !options.resumes) return;
  throw new ConfigError(
    `Cannot sweep the learning rate of a run that goes on: solver.find_lr must be left out with --resume, current value is ${solver.find_lr}`,
  );
}

/**
 * Sweeps, prints what was found and writes its page beside the runs.
 *
 * @param options.early A device that was opened ahead.
 * @param folder Class folders whose lists are made for the sweep alone; null: the recipe has lists.
 */
export async function sweepRates(
  recipe: Config,
  folder: FolderRecipe["folder"] | null,
  { early, io }: { early?: EarlyDevice; io: Io },
): Promise<number> {
  const steps = recipe.solver.find_lr!;
  using stages = tellStages(io);
  const lists = await Deno.makeTempDir({ prefix: "sidenet-lists-" });
  try {
    using run = folder === null ? null : await createRunFolder(lists, "run");
    const config = folder === null ? recipe : await keepLists(recipe, folder, run!);
    const sweeping = findRate(config, {
      steps,
      early,
      signal: io.signal,
      choices: await tunedChoices(io),
      note: (text) => io.note(`warning: ${text}`),
      stage: stages.tell,
      onOpened: ({ adapter, memory }) => {
        stages.end();
        io.note(`adapter: ${adapter}`);
        io.note(
          `GPU memory: ${formatBytes(memory.total)}; sweeping ${
            formatCount(steps)
          } learning rates, nothing of it is kept`,
        );
      },
      onStep: ({ rate, smoothed }, done) => {
        if (!io.isTerminal) return stages.tell({ what: "sweeping", done, of: steps, unit: "learning rates" });
        stages.end();
        io.status(`rate ${rate.toExponential(1)} · loss ${formatValue(smoothed)} · step ${done}/${steps}`);
      },
    });
    // Of a run all is saved, however long it takes; of a sweep nothing is.
    const sweep = await Promise.race([sweeping, abandoned(io.signal)]);
    stages.end();
    const page = join(config.run_root, `${config.name}.find_lr.html`);
    await writeFileWhole(page, renderRatePage(sweep, config));
    io.print(describeSweep(sweep));
    io.print(`page: ${page}`);
    io.printJson({ ...sweep, page });
    return 0;
  } finally {
    await Deno.remove(lists, { recursive: true });
  }
}
