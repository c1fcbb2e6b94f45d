/** Which launcher has started a process is read from its environment; what cannot be joined is refused in one line. */
import assert from "node:assert/strict";
import { findLauncher, libraryCandidates, requireMpiSystem, requireWorld } from "../../mpi/launcher.ts";

const OPEN_MPI = {
  OMPI_COMM_WORLD_RANK: "5",
  OMPI_COMM_WORLD_SIZE: "8",
  OMPI_COMM_WORLD_LOCAL_RANK: "1",
  OMPI_COMM_WORLD_LOCAL_SIZE: "4",
};
const MPICH = { PMI_RANK: "0", PMI_SIZE: "2", MPI_LOCALRANKID: "0", MPI_LOCALNRANKS: "2" };

Deno.test("a launcher is known by what it tells its ranks; a rank alone needs none", () => {
  assert.equal(findLauncher({ PATH: "/bin" }), null);
  assert.equal(findLauncher({ PMI_RANK: "0", PMI_SIZE: "1" }), null);
  assert.deepEqual(findLauncher(OPEN_MPI), { kind: "openmpi", rank: 5, size: 8, localRank: 1, localSize: 4 });
  assert.deepEqual(findLauncher(MPICH), { kind: "mpich", rank: 0, size: 2, localRank: 0, localSize: 2 });
  const slurm = { SLURM_STEP_NUM_TASKS: "4", PMIX_RANK: "3", SLURM_LOCALID: "1", SLURM_PROCID: "3" };
  assert.deepEqual(findLauncher(slurm), { kind: null, rank: 3, size: 4, localRank: 1, localSize: null });
  const batchScript = { SLURM_PROCID: "0", SLURM_NTASKS: "4" };
  assert.equal(findLauncher(batchScript), null);
});

Deno.test("tasks of srun without an MPI are refused: each would be a run of its own", () => {
  assert.throws(
    () => findLauncher({ SLURM_STEP_NUM_TASKS: "4", SLURM_PROCID: "2" }),
    /Cannot join 4 tasks: srun must start them with an MPI.*--mpi=pmix/,
  );
});

Deno.test("the library is the launcher's, where its environment says it lies, or the one that is named", () => {
  assert.deepEqual(libraryCandidates({ kind: "openmpi" }, { OPAL_PREFIX: "/opt/ompi" }), [
    "/opt/ompi/lib/libmpi.so.40",
    "/opt/ompi/lib64/libmpi.so.40",
    "libmpi.so.40",
  ]);
  assert.equal(libraryCandidates({ kind: "mpich" }, {})[0], "libmpich.so.12");
  assert.deepEqual(libraryCandidates({ kind: null }, { SIDENET_MPI_LIBRARY: "/x.so" }), ["/x.so"]);
});

Deno.test("a library that makes every rank a world of its own is refused, and so are other systems", () => {
  const launcher = findLauncher(MPICH)!;
  requireWorld(launcher, { size: 2, library: "libmpich.so.12", kind: "mpich" });
  assert.throws(
    () => requireWorld(launcher, { size: 1, library: "libmpi.so.40", kind: "openmpi" }),
    /Cannot join 2 ranks: the launcher of MPICH started them, but "libmpi.so.40" \(Open MPI\) makes a world of 1; SIDENET_MPI_LIBRARY must/,
  );
  requireMpiSystem("linux", launcher);
  assert.throws(() => requireMpiSystem("darwin", launcher), /must be Linux, current one is darwin/);
});
