/** `doctor` names the launchers of MPI, the one that has started it, and what Open MPI asks of root. */
import assert from "node:assert/strict";
import { launcherName, mpiFacts, mpiFinding } from "../../../cli/doctor/mpi.ts";

const HYDRA =
  "HYDRA build details:\n    Version:                                 4.0.2\n    Release Date: 2022";
const OPEN = "mpiexec (OpenRTE) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/";

const facts = (
  programs: Record<string, string>,
  options: { world?: string; isRoot?: boolean; env?: Record<string, string> } = {},
) =>
  mpiFacts({
    run: (program) => Promise.resolve(programs[program] ?? null),
    world: options.world ?? null,
    isRoot: options.isRoot ?? false,
    env: (name) => options.env?.[name],
  });

Deno.test("launchers are listed by what they are, each once", async () => {
  const both = { mpiexec: OPEN, "mpiexec.openmpi": OPEN, "mpiexec.mpich": HYDRA, srun: "slurm 22.05.8" };
  assert.equal(
    mpiFinding(await facts(both)).text,
    "ranks are started by mpiexec (Open MPI 4.1.4), mpiexec.mpich (MPICH 4.0.2), srun (Slurm 22.05.8)",
  );
  assert.equal(mpiFinding(await facts({})).state, "optional");
  assert.equal(
    launcherName("Intel(R) MPI Library for Linux* OS, Version 2021.8\nmore"),
    "Intel(R) MPI Library for Linux* OS, Version 2021.8",
  );
});

Deno.test("within a job the MPI of the job is named, whatever mpiexec is", async () => {
  const { text } = mpiFinding(await facts({ mpiexec: OPEN }, { world: "2 ranks of MPICH 4.0.2" }));
  assert.equal(text, "this is one of 2 ranks of MPICH 4.0.2");
});

Deno.test("root is told what Open MPI asks for, until that is set", async () => {
  const env = { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  const advice = async (
    programs: Record<string, string>,
    options: { isRoot: boolean; env?: Record<string, string> },
  ) => mpiFinding(await facts(programs, options)).advice;
  assert.match(
    (await advice({ mpiexec: OPEN }, { isRoot: true }))!,
    /OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1$/,
  );
  assert.equal(await advice({ mpiexec: OPEN }, { isRoot: true, env }), undefined);
  assert.equal(await advice({ mpiexec: OPEN }, { isRoot: false }), undefined);
  assert.equal(await advice({ mpiexec: HYDRA }, { isRoot: true }), undefined);
});
