/** `bench step --profile`: tables of where a step's time goes, and its trace. */
import { dirname } from "node:path";
import { type ProfileRow, profileStep, type StepProfile } from "../../bench/profile.ts";
import { chromeTrace } from "../../bench/trace.ts";
import { requireWritableFolder, writeFileWhole } from "../../data/files.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { Gpu } from "../../gpu/device.ts";
import { formatBytes, formatCount, formatShare } from "../../lib/text.ts";
import type { Config } from "../../train/recipe/config.ts";
import { showRow } from "./rows.ts";
import type { Io } from "../shared/output.ts";
import { tellStages } from "../text/stages.ts";
import { ratesOf } from "./file.ts";
import { peaksNow } from "./peak.ts";

/** The trace's file where none is named. */
export const TRACE = "trace.json";
/** Kernels that are listed; the rest is summed up. */
const LISTED = 24;

/** Profiles a recipe's step, prints it and writes its trace. */
export async function printProfile(
  gpu: Gpu,
  config: Config,
  options: { trace?: string },
  io: Io,
): Promise<void> {
  const rates = await ratesOf(gpu.info, io), { trace: path = TRACE } = options;
  await requireFileToWrite(path); // before anything is measured
  if (rates === null) {
    io.note(`the peaks of this adapter are measured now; after "${io.program} bench peak" they are known`);
  }
  const peaks = rates?.peaks ?? await peaksNow(gpu, io);
  const { profile, trace } = await measuringSteps(() => profileStep(gpu, config, { peaks, rates }), io);
  const { step, ...rest } = profile;
  showRow(step, io);
  if (!io.json) { for (const line of describeProfile(profile)) io.print(line); }
  await writeFileWhole(path, JSON.stringify(chromeTrace(trace)) + "\n");
  io.printJson({ name: "profile", adapter: gpu.name, ...rest, trace: path });
  io.note(`the step launch by launch: ${path} (open it in chrome://tracing or ui.perfetto.dev)`);
}

/** Tells that steps are measured while they are. */
export async function measuringSteps<T>(measure: () => Promise<T>, io: Io): Promise<T> {
  using stages = tellStages(io);
  stages.tell({ what: "measuring steps" });
  return await measure();
}

async function requireFileToWrite(path: string): Promise<void> {
  const { isDirectory } = await Deno.stat(path).catch(() => ({ isDirectory: false }));
  const folder = await Deno.stat(dirname(path)).catch(() => null);
  if (isDirectory || !folder?.isDirectory) {
    throw new ConfigError(
      `Cannot write the trace to "${path}": --trace must name a file in a folder that is there`,
    );
  }
  await requireWritableFolder(dirname(path));
}

/** The profile in lines. */
export function* describeProfile(profile: StepProfile): Generator<string> {
  const { step, phases, launches, gpu_ms: gpuMs, below_half: slow, peaks, method } = profile, { host } = step;
  const share = (ms: number) => formatShare(gpuMs > 0 ? ms / gpuMs : 0, 0);
  yield "";
  if (method === "pieces") {
    yield "This adapter has no timestamp queries: launches of a part of the network were run again and again and timed together,";
    yield "so that times of parts are known, and those of single kernels are not.";
  }
  yield `${formatCount(launches)} launches, ${gpuMs.toFixed(1)} ms of them` +
    (method === "timestamps"
      ? `, each in a pass of its own, which takes longer than the ${step.ms.toFixed(1)} ms of a step in one`
      : "") +
    `: ` +
    Object.entries(phases).filter(([, ms]) => ms > 0)
      .map(([phase, ms]) => `${phase} ${ms.toFixed(1)} ms (${share(ms)})`).join(", ");
  yield `peaks: f32 ${peaks.f32_gflops.toFixed(0)} GFLOP/s` +
    (peaks.f16_gflops === null ? "" : `, f16 ${peaks.f16_gflops.toFixed(0)} GFLOP/s`) +
    `, copying ${peaks.copy_gbps.toFixed(1)} GB/s, workgroup memory ${peaks.workgroup_gbps.toFixed(1)} GB/s` +
    (slow === null
      ? ""
      : `; ${formatShare(slow, 0)} of that time is in launches below 50 % of their roofline`);
  yield `host: ${(host.share_of_step * step.ms).toFixed(2)} ms between submissions, ${
    formatShare(host.share_of_step, 1)
  } of the step: encoding ${host.encode_ms.toFixed(2)}, handing over ${formatBytes(host.written_bytes)} ${
    host.write_ms.toFixed(2)
  }, other ${host.other_ms.toFixed(2)} ms; in submissions ${host.submit_ms.toFixed(2)} ms`;
  for (
    const [title, rows] of [["kernel", profile.kernels], ["op", profile.ops], [
      "part",
      alike(profile.scopes),
    ]] as const
  ) {
    if (rows.length === 0) continue;
    const hasEstimates = rows.some((row) => row.estimated_ms !== undefined);
    const shown = rows.slice(0, LISTED), width = Math.max(56, ...shown.map(({ name }) => name.length));
    yield "";
    yield `${title.padEnd(width)}${"launches".padStart(9)}${"ms".padStart(10)}${"share".padStart(7)}${
      "GFLOP/s".padStart(10)
    }${"GB/s".padStart(9)}${"roofline".padStart(10)}${hasEstimates ? "estimate".padStart(11) : ""}`;
    for (const row of shown) {
      yield `${row.name.padEnd(width)}${String(row.launches).padStart(9)}${row.ms.toFixed(2).padStart(10)}${
        share(row.ms).padStart(7)
      }${row.gflops.toFixed(1).padStart(10)}${row.gbps.toFixed(2).padStart(9)}${
        formatShare(row.roofline, 0).padStart(10)
      }${row.estimated_ms === undefined ? "" : `${row.estimated_ms.toFixed(2)} ms`.padStart(11)}`;
    }
    const sum = (some: readonly ProfileRow[], of: (row: ProfileRow) => number) =>
      some.reduce((total, row) => total + of(row), 0);
    const summed = (name: string, some: readonly ProfileRow[]) =>
      `${name.padEnd(width)}${String(sum(some, (row) => row.launches)).padStart(9)}${
        sum(some, (row) => row.ms).toFixed(2).padStart(10)
      }${share(sum(some, (row) => row.ms)).padStart(7)}${
        hasEstimates ? `${sum(some, (row) => row.estimated_ms ?? 0).toFixed(2)} ms`.padStart(40) : ""
      }`;
    const left = rows.slice(LISTED);
    if (left.length > 0) yield summed(`${left.length} more`, left);
    if (hasEstimates) yield summed("all", rows);
  }
}

/** Parts of the network, numbered ones together: "backbone/block.* (12)". */
export function alike(rows: readonly ProfileRow[]): ProfileRow[] {
  const groups = new Map<string, ProfileRow[]>();
  for (const row of rows) {
    const name = row.name.replace(/\.\d+/g, ".*");
    groups.set(name, [...groups.get(name) ?? [], row]);
  }
  return [...groups].map(([name, own]): ProfileRow => {
    const sum = (of: (row: ProfileRow) => number) => own.reduce((total, row) => total + of(row), 0);
    const ms = sum((row) => row.ms),
      mean = (of: (row: ProfileRow) => number) => ms > 0 ? sum((row) => of(row) * row.ms) / ms : 0;
    return {
      name: own.length > 1 ? `${name} (${own.length})` : own[0].name,
      launches: sum((row) => row.launches),
      ms,
      gflops: mean((row) => row.gflops),
      gbps: mean((row) => row.gbps),
      roofline: mean((row) => row.roofline),
    };
  }).sort((a, b) => b.ms - a.ms);
}
