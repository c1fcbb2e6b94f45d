/** Launchers of MPI for tests of ranks, which are reported as ignored where there is none. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";

/** A launcher, and what its ranks need in their environment. */
export interface TestLauncher {
  readonly name: string;
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Open MPI asks twice before it starts anything for root, and may be asked for more ranks than there are cores. */
const OPEN_MPI_ENV = {
  OMPI_ALLOW_RUN_AS_ROOT: "1",
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
  OMPI_MCA_rmaps_base_oversubscribe: "1",
};

/** The launcher of MPICH; null where there is none. */
export const MPICH = find("MPICH", ["mpiexec.mpich", "mpiexec"], /HYDRA/, {});
/** The launcher of Open MPI; null where there is none. */
export const OPEN_MPI = find(
  "Open MPI",
  ["mpiexec.openmpi", "mpiexec"],
  /OpenRTE|Open MPI|prte/i,
  OPEN_MPI_ENV,
);

// In CI a missing launcher must not pass for a success.
if (MPICH === null && Deno.env.get("CI")) {
  throw new Error("Cannot test ranks: mpiexec of MPICH must be on the PATH; apt-get install mpich");
}

/** Declares a test that needs a launcher, and a GPU as `gpuTest` does. */
export function rankTest(launcher: TestLauncher | null, name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: launcher === null || Deno.env.get("SIDENET_GPU") === "off", fn });
}

function find(
  name: string,
  programs: readonly string[],
  version: RegExp,
  env: Readonly<Record<string, string>>,
): TestLauncher | null {
  for (const program of programs) {
    const { stdout, error } = spawnSync(program, ["--version"], { encoding: "utf8" });
    if (error === undefined && version.test(stdout)) return { name, program, env };
  }
  return null;
}

interface Line {
  kind: "step" | "eval";
  step: number;
  loss: number;
}

/** The losses of a run's steps, or of its evaluations. */
export async function losses(
  folder: { file(...parts: string[]): string },
  run: string,
  of: Line["kind"] = "step",
): Promise<number[]> {
  const text = await Deno.readTextFile(folder.file("runs", run, "metrics.jsonl"));
  const lines = text.trim().split("\n").map((line) => JSON.parse(line) as Line);
  return lines.filter(({ kind }) => kind === of).map(({ loss }) => loss);
}

/** Fails with what a command said, where it failed. */
export function requireDone({ code, stderr }: { code: number; stderr: string }): void {
  assert.equal(code, 0, stderr);
}
