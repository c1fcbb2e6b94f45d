/** The weights and states of the last epochs (`logging.keep`), beside those that a run always has, and the removal of older ones. */

import { copyFile, link, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { namesIn, temporaryName, writing } from "../../data/files.ts";
import type { RunFolder } from "./run_folder.ts";

/** The folder in a run's folder. */
export const KEPT_FOLDER = "kept";

/** What is kept of an epoch. */
const KEPT = { weights: "safetensors", state: "state.safetensors" } as const;
const NAME = /^epoch-(\d{4,})\.(?:state\.)?safetensors$/;

/** Path of what is kept of an epoch, from 0; people count from 1. */
export function keptFile(run: string, epoch: number, what: keyof typeof KEPT): string {
  return join(run, KEPT_FOLDER, `epoch-${String(epoch + 1).padStart(4, "0")}.${KEPT[what]}`);
}

/** The run folder of a kept state; null: the path is none. */
export function runOfKeptState(path: string): string | null {
  const name = basename(path), folder = dirname(path);
  const isState = NAME.test(name) && name.endsWith(`.${KEPT.state}`);
  return isState && basename(folder) === KEPT_FOLDER ? dirname(folder) : null;
}

/**
 * Keeps the weights and the state that a run has just written, then removes what is older than the last epochs, and what is of epochs to
 * come, which a run leaves that went back to an earlier state. Other files stay.
 *
 * @param options.most Epochs that are kept, this one among them.
 */
export async function keepEpoch(
  folder: Pick<RunFolder, "path" | "file">,
  epoch: number,
  options: { most: number },
): Promise<void> {
  const kept = join(folder.path, KEPT_FOLDER);
  await writing(kept, () => mkdir(kept, { recursive: true }));
  await keep(folder.file("last"), keptFile(folder.path, epoch, "weights"));
  await keep(folder.file("state"), keptFile(folder.path, epoch, "state"));
  const names = await namesIn(kept), epochOf = (name: string) => Number(NAME.exec(name)?.[1] ?? NaN) - 1;
  const epochs = [...new Set(names.map(epochOf))].filter((one) => one <= epoch).sort((a, b) => b - a);
  const wanted = epochs.slice(0, options.most);
  for (const name of names) {
    if (!NAME.test(name) || wanted.includes(epochOf(name))) continue;
    await writing(join(kept, name), () => rm(join(kept, name), { force: true }));
  }
}

/** A second name for a file that is only ever replaced, never changed; a copy where the file system has no such names. */
async function keep(from: string, to: string): Promise<void> {
  const partial = temporaryName(to);
  await writing(to, async () => {
    try {
      await link(from, partial).catch(async () => {
        await copyFile(from, partial);
        const copy = await open(partial, "r+");
        try {
          await copy.sync();
        } finally {
          await copy.close();
        }
      });
      await rename(partial, to);
    } finally {
      await rm(partial, { force: true }); // a rename onto another name of the same file leaves both
    }
  });
}
