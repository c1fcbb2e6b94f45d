/** A run's folder as the ranks that write nothing see it: its files can be read, and what is written is dropped. */

import { basename, join } from "node:path";
import { RUN_FILES, type RunFolder } from "./run_folder.ts";

/** The folder of a run that another rank writes. */
export function quietFolder(path: string): RunFolder {
  return {
    path,
    name: basename(path) || path,
    warning: null,
    file: (which) => join(path, RUN_FILES[which]),
    appendMetrics: () => {},
    flushMetrics: () => Promise.resolve(),
    cutMetrics: () => Promise.resolve(),
    write: () => Promise.resolve(),
    writeSummary: () => Promise.resolve(),
    [Symbol.dispose]: () => {},
  };
}
