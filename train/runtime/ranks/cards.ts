/** What the sessions of several ranks agree upon before they are opened: which of them share a card, and how batches are cut. */

import type { DeviceInfo } from "../../../gpu/runtime.ts";
import type { KernelEnvironment } from "../../../gpu/op.ts";
import { formatBytes } from "../../../lib/text.ts";
import { ConfigError } from "../../../lib/errors.ts";
import type { World } from "../../../mpi/world.ts";
import type { VideoModel } from "../../../models/video_model.ts";
import type { FittingSession } from "../fit.ts";
import { microBatches, rankClips } from "../micro_batches.ts";
import type { RankOptions } from "../program_options.ts";
import { planSession, type SessionOptions } from "../session_plan.ts";

/** The cards of all ranks. */
export interface RankCards {
  /** Ranks on this rank's card, itself among them. */
  readonly sharing: number;
  /** @param bytes Of a rank's session. */
  notes(bytes: number): string[];
  /** What follows for the options of a session. */
  options(options: Pick<SessionOptions, "ranks">): { ranks?: RankOptions };
}

/** Asks all ranks which cards they have. */
export async function cardsOf(world: World, { name }: Pick<DeviceInfo, "name">): Promise<RankCards> {
  if (world.size === 1) return { sharing: 1, notes: () => [], options: () => ({}) };
  const all = await world.gather(
    { host: world.host, name, card: world.card ?? name },
    "the cards of all ranks",
  );
  const keys = all.map((one) => `${one.card} of ${one.host}`), own = keys[world.rank];
  const groups = Map.groupBy(all.keys(), (rank) => keys[rank]);
  const mixed = new Set(all.map((one) => one.name)).size > 1;
  const sharing = (bytes: number) =>
    [...groups].filter(([, ranks]) => ranks.length > 1).map(([key, ranks]) =>
      `ranks ${
        ranks.join(", ")
      } share one card, ${key}: they take turns on it, and need ${ranks.length} times ${
        formatBytes(bytes)
      }, ${formatBytes(ranks.length * bytes)}`
    );
  const differing = mixed
    ? [
      `the ranks have different adapters (${
        adaptersOf(all)
      }): the weights of rank 0 are sent to all after every update, so that they stay equal`,
    ]
    : [];
  return {
    sharing: groups.get(own)!.length,
    notes: (bytes) => [...sharing(bytes), ...differing],
    options: ({ ranks }) => ranks ? { ranks: { ...ranks, mixed } } : {},
  };
}

/** Which ranks have which adapter: "rank 0: llvmpipe; ranks 1 to 3: NVIDIA H100". */
function adaptersOf(all: readonly { name: string }[]): string {
  const ranks = Map.groupBy(all.keys(), (rank) => all[rank].name);
  return [...ranks].map(([name, own]) => `${own.length === 1 ? "rank" : "ranks"} ${spans(own)}: ${name}`)
    .join("; ");
}

/** Numbers in ascending order, as words: "0, 2 to 5". */
function spans(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last?.[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([start, end]) =>
    start === end ? `${start}` : `${start}${end > start + 1 ? " to " : ", "}${end}`
  )
    .join(", ");
}

/**
 * The same session with as many clips at once as all ranks can hold.
 *
 * @throws {ConfigError} where synchronised batch norms would have to wait for parts that a rank does not have.
 */
export async function agreedFit(
  model: VideoModel,
  fitting: FittingSession,
  { world, environment }: { world: World; environment: KernelEnvironment },
): Promise<FittingSession> {
  if (world.size === 1 || fitting.options.trainClips.length === 0) return fitting;
  const { microClips = Infinity, mixes: pairs, ranks } = fitting.options;
  const [least] = await world.max([-microClips], "the clips at once");
  const own: FittingSession = -least === microClips ? fitting : {
    ...fitting,
    options: { ...fitting.options, microClips: -least },
    plan: planSession(model, { ...fitting.options, microClips: -least }, environment),
    against: fitting.against ?? "another rank's adapter holds fewer clips",
  };
  if (ranks?.syncNorms && model.weights.of("statistic").length > 0) {
    for (const clips of ranks.batches) {
      const parts = Array.from({ length: world.size }, (_, rank) => {
        const count = rankClips(clips, { rank, ranks: world.size, copies: 1, pairs: pairs ?? false });
        return count === 0 ? 0 : microBatches(count, { microClips: -least, pairs }).length;
      });
      if (Math.min(...parts) === Math.max(...parts)) continue;
      throw new ConfigError(
        `Cannot synchronise batch norms over ${world.size} ranks (network.sync_bn): each rank must have as many parts of every batch, ` +
          `a batch of ${clips} clips gives ${
            parts.join(", ")
          }; choose data.batch_size and data.micro_batch_size that divide, ` +
          `and data.drop_last=true where the last batch is short`,
      );
    }
  }
  return own;
}
