/** What `bench card` found, set beside its targets: pure functions. */

import { formatBytes } from "../lib/text.ts";
import type { Measurement } from "./matmul.ts";

/** A measurement of ours, with the bytes that it holds. */
export interface OwnTime extends Measurement {
  bytes: number;
}

/** A measurement of the peer, against one of ours. */
export interface PeerTime {
  name: string;
  peer: string;
  ms: number | null;
  /** The peer's time divided by ours. */
  ratio: number | null;
  /** What its tensors held at most; null where it does not count them. */
  bytes: number | null;
  /** Our memory divided by the peer's. */
  memory_share: number | null;
  target: Target;
  /** Whether the targets are met; null where both do not run on one card. */
  met: boolean | null;
  device: string;
  driver: string | null;
  error?: string;
}

/** What is to be reached: a least ratio, and where memory counts a largest share. */
export interface Target {
  readonly ratio: number;
  readonly memory_share: number | null;
}

/** What the peer prints of itself. */
export interface PeerDevice {
  readonly name: string;
  readonly torch: string;
  readonly cuda: string | null;
  readonly driver: string | null;
  readonly threads: number;
}

/** What the peer prints of a measurement. */
export interface PeerRow {
  readonly what: string;
  readonly variant: string;
  readonly ms?: number;
  readonly bytes?: number | null;
  readonly error?: string;
  /** Of a step: trained numbers, the tensors that gradients reached, its loss, the faster form of its temporal convolution. */
  readonly trained?: number;
  readonly tensors?: readonly string[];
  readonly loss?: number;
  readonly temporal?: string;
}

/** Variants of the peer: without and with autocast. */
const isEager = (variant: string) => variant.startsWith("f32");

/** What is to be reached against a variant of the peer. */
export function targetOf(what: string, variant: string): Target {
  if (what === "matmul") return { ratio: 0.6, memory_share: null };
  return isEager(variant) ? { ratio: 0.9, memory_share: 0.25 } : { ratio: 0.35, memory_share: null };
}

/** Whether a measurement of ours is set beside the peer's: all beside f32, and beside autocast what stores halves, if anything does. */
export function isComparable(dtype: "f32" | "f16", variant: string, hasHalves: boolean): boolean {
  return isEager(variant) || dtype === "f16" || !hasHalves;
}

/** Whether both names are of one card: drivers add words around the product's name. */
export function isSameCard(adapter: string, device: string): boolean {
  const words = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, " ").trim();
  const [ours, theirs] = [words(adapter), words(device)];
  return theirs !== "" && ours !== "" && ` ${ours} `.includes(` ${theirs} `) ||
    ours !== "" && ` ${theirs} `.includes(` ${ours} `);
}

/** Sets a measurement of the peer beside one of ours. */
export function compareTimes(own: OwnTime, row: PeerRow, device: PeerDevice): PeerTime {
  const target = targetOf(row.what, row.variant), round = (value: number) => Number(value.toFixed(3));
  const { ms = null, bytes = null, error } = row;
  const ratio = ms === null ? null : round(ms / own.ms);
  const share = bytes === null ? null : round(own.bytes / bytes);
  const isNear = target.memory_share === null || (share !== null && share <= target.memory_share);
  const met = ratio === null || !isSameCard(own.adapter, device.name)
    ? null
    : ratio >= target.ratio && isNear;
  return {
    name: own.name,
    peer: `PyTorch ${device.torch} ${row.variant}${row.temporal === undefined ? "" : ` (${row.temporal})`}`,
    ms: ms === null ? null : round(ms),
    ratio,
    bytes,
    memory_share: share,
    target,
    met,
    device: device.name,
    driver: device.driver,
    ...error !== undefined && { error },
  };
}

/** Says what differs between what both train; null where nothing does. */
export function trainedDifference(
  own: ReadonlyMap<string, number>,
  { tensors = [], trained = 0 }: PeerRow,
): string | null {
  const theirs = new Set(tensors);
  const alone = [...own.keys()].filter((name) => !theirs.has(name));
  const missed = tensors.filter((name) => !own.has(name));
  const count = [...own.values()].reduce((sum, size) => sum + size, 0);
  if (alone.length > 0) return `only ours trains ${alone[0]}`;
  if (missed.length > 0) return `only the peer trains ${missed[0]}`;
  return count === trained ? null : `ours trains ${count} numbers, the peer ${trained}`;
}

/** The table for people. */
export function cardTable(owns: readonly OwnTime[], peers: readonly PeerTime[]): string[] {
  const ms = (value: number | null) => value === null ? "–" : `${value.toFixed(2)} ms`;
  const memory = (value: number | null) => value === null ? "–" : formatBytes(value);
  const rows = [[
    "",
    "ours",
    "memory",
    "peer",
    "time",
    "memory",
    "ratio",
    "target",
    "memory/peer's",
    "target",
    "",
  ]];
  for (const own of owns) {
    const ours = [`${own.name} ${own.shape}`, ms(own.ms), memory(own.bytes)];
    const beside = peers.filter(({ name }) => name === own.name);
    if (beside.length === 0) rows.push([...ours, "not timed"]);
    for (const { peer, target, error, ...row } of beside) {
      rows.push([
        ...ours,
        peer,
        ms(row.ms),
        memory(row.bytes),
        row.ratio?.toFixed(2) ?? "–",
        `≥ ${target.ratio}`,
        row.memory_share?.toFixed(2) ?? "–",
        target.memory_share === null ? "" : `≤ ${target.memory_share}`,
        error ?? (row.met === null ? "not judged" : row.met ? "met" : "not met"),
      ]);
    }
  }
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  const isText = (i: number) => i === 0 || i === 3 || i === 10;
  return rows.map((row) =>
    row.map((text, i) => isText(i) ? text.padEnd(widths[i]) : text.padStart(widths[i])).join("  ").trimEnd()
  );
}
