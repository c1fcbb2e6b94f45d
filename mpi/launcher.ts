/** Which MPI launcher has started this process, read from the environment that it gives to every rank. Nothing is loaded for that. */

import { ConfigError } from "../lib/errors.ts";

/** Libraries by what they agree on: "mpich" are MPICH and its relatives (Intel MPI, MVAPICH, Cray). */
export type MpiKind = "mpich" | "openmpi";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the launcher says of this process. */
export interface Launcher {
  /** Whose launcher it is; null where it does not tell (Slurm with PMIx). */
  readonly kind: MpiKind | null;
  readonly rank: number;
  readonly size: number;
  /** Number of this rank among those of its machine, and how many these are; null where it is not told. */
  readonly localRank: number | null;
  readonly localSize: number | null;
}

/** Names of the variable that sets the library. */
export const LIBRARY_VARIABLE = "SIDENET_MPI_LIBRARY";

/** Names for people. */
export const MPI_NAMES: Readonly<Record<MpiKind, string>> = { mpich: "MPICH", openmpi: "Open MPI" };

/** The launcher that has started this process as one of several ranks; null where none has. */
export function findLauncher(env: Environment): Launcher | null {
  const number = (...names: string[]): number | null => {
    for (const name of names) {
      const text = env[name];
      if (text !== undefined && /^\d+$/.test(text)) return Number(text);
    }
    return null;
  };
  const local = {
    localRank: number("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"),
    localSize: number("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"),
  };
  const found = (kind: MpiKind | null, rank: number | null, size: number | null): Launcher | null =>
    rank === null || size === null || size < 2 ? null : { kind, rank, size, ...local };
  const tasks = number("SLURM_STEP_NUM_TASKS");
  const launcher = found("openmpi", number("OMPI_COMM_WORLD_RANK"), number("OMPI_COMM_WORLD_SIZE")) ??
    found("mpich", number("PMI_RANK"), number("PMI_SIZE")) ??
    found(null, number("PMIX_RANK"), tasks);
  if (launcher !== null || tasks === null || tasks < 2 || number("PMI_SIZE", "PMIX_RANK") !== null) {
    return launcher;
  }
  throw new ConfigError(
    `Cannot join ${tasks} tasks: srun must start them with an MPI, current setting gives none; ` +
      `add --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH) to srun`,
  );
}

/** Files to look for, the likeliest first. */
export function libraryCandidates({ kind }: Pick<Launcher, "kind">, env: Environment): string[] {
  const own = env[LIBRARY_VARIABLE];
  if (own !== undefined && own !== "") return [own];
  const names: Record<MpiKind, string[]> = {
    openmpi: ["libmpi.so.40"],
    mpich: ["libmpich.so.12", "libmpi.so.12", "libmpi_cray.so.12"],
  };
  const wanted = kind === null ? [...names.openmpi, ...names.mpich] : names[kind];
  const roots = ["OPAL_PREFIX", "MPI_HOME", "MPI_ROOT", "I_MPI_ROOT", "MPICH_DIR"]
    .flatMap((name) => env[name] ? [env[name]] : []);
  return [
    ...roots.flatMap((root) => wanted.flatMap((name) => [`${root}/lib/${name}`, `${root}/lib64/${name}`])),
    ...wanted,
  ];
}

/**
 * Refuses where ranks cannot be joined.
 *
 * @throws {ConfigError}
 */
export function requireMpiSystem(os: string, { size }: Pick<Launcher, "size">): void {
  if (os === "linux") return;
  throw new ConfigError(
    `Cannot join ${size} ranks: the system must be Linux, current one is ${os}; start it without mpiexec`,
  );
}

/**
 * Refuses a world that is not the launcher's: the library of another MPI makes each rank a world of its own, silently.
 *
 * @throws {ConfigError}
 */
export function requireWorld(
  launcher: Launcher,
  { size, library, kind }: { size: number; library: string; kind: MpiKind },
): void {
  if (size === launcher.size) return;
  const whose = launcher.kind === null ? "the launcher" : `the launcher of ${MPI_NAMES[launcher.kind]}`;
  throw new ConfigError(
    `Cannot join ${launcher.size} ranks: ${whose} started them, but "${library}" (${
      MPI_NAMES[kind]
    }) makes a world of ` +
      `${size}; ${LIBRARY_VARIABLE} must name the library that belongs to the launcher`,
  );
}
