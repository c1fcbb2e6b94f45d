/** Which launchers of MPI this machine has, what they are, and what stands in their way. */
import type { Finding } from "./finding.ts";

/** What is known of MPI here. */
export interface MpiFacts {
  /** Programs that start ranks, with what they are: "MPICH 4.0.2". */
  readonly launchers: readonly { readonly program: string; readonly name: string }[];
  /** The ranks that this process is one of: "2 ranks of MPICH 4.0.2"; null: it is alone. */
  readonly world: string | null;
  /** This is root, to whom Open MPI's launcher does nothing as things are. */
  readonly isRefused: boolean;
}

/** Programs that may start ranks. The first is whichever of the others the system prefers, or one of its own. */
const PROGRAMS = ["mpiexec", "mpiexec.mpich", "mpiexec.openmpi", "srun"];
const ROOT_VARIABLES = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];

/**
 * Looks for launchers.
 *
 * @param options.run What a program says of its version; null where there is none.
 */
export async function mpiFacts(
  { run, world, isRoot, env }: {
    run: (program: string) => Promise<string | null>;
    world: string | null;
    isRoot: boolean;
    env: (name: string) => string | undefined;
  },
): Promise<MpiFacts> {
  const found = await Promise.all(PROGRAMS.map(async (program) => ({ program, text: await run(program) })));
  const named = found.flatMap(({ program, text }) =>
    text === null ? [] : [{ program, name: launcherName(text) }]
  );
  const launchers = named.filter(({ name, program }) =>
    named.find((one) => one.name === name)!.program === program
  );
  const isRefused = isRoot && launchers.some(({ name }) => name.startsWith("Open MPI")) &&
    !ROOT_VARIABLES.every((name) => env(name) === "1");
  return { launchers, world, isRefused };
}

/** What a launcher is, from what it says of its version. */
export function launcherName(text: string): string {
  const first = text.trim().split("\n")[0];
  const number = (pattern: RegExp) => pattern.exec(text)?.[1];
  if (/HYDRA/.test(first)) return `MPICH ${number(/Version:\s*(\S+)/) ?? ""}`.trim();
  if (/OpenRTE|Open MPI|PRRTE|prte/i.test(first)) return `Open MPI ${number(/(\d+(?:\.\d+)+)/) ?? ""}`.trim();
  if (/^slurm/i.test(first)) return `Slurm ${number(/(\d+(?:\.\d+)+)/) ?? ""}`.trim();
  return first;
}

/** The line of MPI. */
export function mpiFinding({ launchers, world, isRefused }: MpiFacts): Finding {
  const here = launchers.map(({ program, name }) => `${program} (${name})`).join(", ");
  if (world !== null) return { topic: "MPI", state: "ok", text: `this is one of ${world}` };
  if (launchers.length === 0) {
    return {
      topic: "MPI",
      state: "optional",
      text:
        "mpiexec not found; for training on several GPUs, which mpiexec or srun starts (docs/clusters.md)",
      advice: "apt-get install mpich",
    };
  }
  return {
    topic: "MPI",
    state: "ok",
    text: `ranks are started by ${here}`,
    ...isRefused
      ? {
        advice: `as root, Open MPI starts nothing without ${
          ROOT_VARIABLES.map((name) => `${name}=1`).join(" and ")
        }`,
      }
      : {},
  };
}
