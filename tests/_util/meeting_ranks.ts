import { ALONE, type World } from "../../mpi/world.ts";

/** Ranks in one process, which meet where all have come. */
export function meetingRanks(size: number): World[] {
  let told = new Map<number, unknown>(), meeting = Promise.withResolvers<unknown[]>();
  const gather = <T>(rank: number, value: T): Promise<T[]> => {
    const { promise } = meeting;
    told.set(rank, value);
    if (told.size === size) {
      meeting.resolve(Array.from({ length: size }, (_, i) => told.get(i)));
      [told, meeting] = [new Map(), Promise.withResolvers<unknown[]>()];
    }
    return promise as Promise<T[]>;
  };
  return Array.from({ length: size }, (_, rank): World => ({
    ...ALONE,
    rank,
    size,
    gather: (value) => gather(rank, value),
  }));
}
