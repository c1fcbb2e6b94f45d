/** `bench mpi`: what ranks take to exchange. Rank 0 tells. */
import { benchExchange, benchSharedStep, type ExchangeMeasurement } from "../../bench/mpi.ts";
import { openGpu } from "../../gpu/device.ts";
import { ConfigError } from "../../lib/errors.ts";
import { MpiWorld } from "../../mpi/mpi_world.ts";
import type { Config } from "../../train/recipe/config.ts";
import type { Io } from "../shared/output.ts";
import { tunedChoices } from "../shared/tuned.ts";
import { joinWorld } from "./world.ts";

/** Measures on all ranks; only rank 0 gives the figures. */
export async function* benchRanks(config: Config, io: Io): AsyncGenerator<ExchangeMeasurement> {
  const world = await joinWorld(io);
  if (!(world instanceof MpiWorld)) {
    throw new ConfigError(
      'Cannot bench "mpi" in one process: ranks must be started by a launcher, as in mpiexec -n 2 ./denow bench mpi',
    );
  }
  for await (const row of benchExchange(world)) if (world.rank === 0) yield row;
  using gpu = await openGpu({ choices: (await tunedChoices(io)).known });
  const row = await benchSharedStep(world, gpu, config);
  if (world.rank > 0) return;
  yield row;
  const where = world.localSize === world.size
    ? `${world.size} ranks of one machine measure communication within its memory`
    : `${world.size} ranks measure communication`;
  io.print(
    `${where}, not how well computing scales: each rank's step was timed while the others waited`,
  );
}
