/**
 * Which GPU kernel is likely to be fast, before anything is measured: cycles of a product on an imagined card. WebGPU tells
 * neither the number of cores nor their speed, so the card is a guess by its maker; what a measurement finds goes before.
 *
 * A core does 128 multiply-adds a cycle and reads 128 bytes of workgroup memory; it holds as many workgroups as its registers,
 * invocations and memory allow, which hide each other's waits. So small blocks win where large ones leave cores idle, and large
 * ones where there is work for all, since they read less for each multiply-add.
 */

import type { KernelAdapter } from "../tuning/family.ts";

/** What a kernel does for one product. Cycles are those of one core. */
export interface Effort {
  readonly workgroups: number;
  readonly threads: number;
  /** Registers of 32 bits a thread. */
  readonly registers: number;
  /** Workgroup memory in bytes. */
  readonly bytes: number;
  /** Instructions of one thread. */
  readonly instructions: number;
  /** How many of them do not wait for each other. */
  readonly independent: number;
  /** Cycles in which a workgroup's reads keep the workgroup memory busy. */
  readonly memoryCycles: number;
  /** Bytes that a workgroup reads from storage, by way of the cache, and writes. */
  readonly traffic: number;
  /** Turns of the main loop, each with a wait for storage. */
  readonly turns: number;
  /** Whether a turn's reads are under way while the turn before it computes. */
  readonly hidden: boolean;
}

/** Cores by maker; integrated ones have fewer. */
const CORES: readonly [RegExp, number][] = [
  [/nvidia|4318|0x10de/i, 80],
  [/amd|4098|0x1002/i, 48],
  [/apple|4203|0x106b/i, 24],
  [/intel|32902|0x8086/i, 24],
  [/arm|qualcomm|img|imagination/i, 8],
];
const ANY_CORES = 48;

const REGISTERS = 65536, MOST_REGISTERS = 255, INVOCATIONS = 1536, LANES = 128;
/** Invocations that keep a core busy when each has 16 independent instructions; of 32 or more it takes half as many. */
const ENOUGH_INVOCATIONS = 512;
/** Cycles from a read of storage to its value, with the barriers around it; and of a barrier alone. */
const WAIT = 600, BARRIER = 40;
const BYTES_A_CYCLE = 24;
/** Factor for values that do not fit in registers. */
const SPILL = 4;
const LAUNCH = 2000;

function coresOf({ vendor, description }: Pick<KernelAdapter, "vendor" | "description">): number {
  return CORES.find(([maker]) => maker.test(`${vendor} ${description}`))?.[1] ?? ANY_CORES;
}

/** Cycles of the whole product. */
export function estimate(effort: Effort, adapter: KernelAdapter): number {
  const { workgroups, threads, registers, bytes, instructions, independent, turns } = effort;
  const memory = Math.max(65536, 2 * adapter.workgroupBytes);
  const held = Math.max(
    1,
    Math.min(
      Math.floor(REGISTERS / (threads * Math.min(registers, MOST_REGISTERS))),
      Math.floor(INVOCATIONS / threads),
      bytes === 0 ? Infinity : Math.floor(memory / bytes),
    ),
  );
  const spill = registers > MOST_REGISTERS ? SPILL : 1;
  const busy = spill *
    Math.max(threads * instructions / LANES, effort.memoryCycles, effort.traffic / BYTES_A_CYCLE);
  const wait = effort.hidden ? Math.max(0, WAIT - busy / turns) + BARRIER : WAIT;
  let left = Math.ceil(workgroups / coresOf(adapter)), cycles = LAUNCH;
  const round = (together: number) => {
    const active = together * threads;
    const use = Math.min(1, active / LANES, active * Math.min(independent, 32) / 16 / ENOUGH_INVOCATIONS);
    return Math.max(together * busy / use, busy + turns * wait);
  };
  const full = Math.floor(left / held);
  if (full > 0) cycles += full * round(held);
  left -= full * held;
  return left > 0 ? cycles + round(left) : cycles;
}
