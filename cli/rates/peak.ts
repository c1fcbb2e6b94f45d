/** `bench peak`: what the adapter reaches, kept for plans and profiles. */
import { calibrate } from "../../bench/peaks/calibrate.ts";
import { measurePeaks } from "../../bench/peaks/measure.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { AdapterRates, OpPoint, Peaks } from "../../train/planning/rates.ts";
import type { Io } from "../shared/output.ts";
import { tellStages } from "../text/stages.ts";
import { keepRates, requireRatesFolder } from "./file.ts";

/** Kernels that are shown beside the peaks, by their best rate. */
const SHOWN = ["matmul", "attention", "attentionBackwardKey", "layerNorm", "gelu", "add"];

/** Of an element that may be multiplied in f16. */
const HALF_BYTES = 2;

/** Measures peaks and kernels, and keeps them. */
export async function benchPeak(gpu: Gpu, io: Io): Promise<void> {
  await requireRatesFolder();
  const reached = await peaksNow(gpu, io);
  if (!io.json) { for (const line of describePeaks(gpu.name, reached)) io.print(line); }
  using stages = tellStages(io);
  const points = await calibrate(gpu, {
    gflops: reached.f32_gflops,
    tell: (done, of) => stages.tell({ what: "measuring kernels", done, of }),
    signal: io.signal,
  });
  stages.end();
  const measured = new Date().toISOString().slice(0, 10);
  const peaks = peaksWith(reached, points),
    rates: AdapterRates = { adapter: gpu.name, measured, peaks, points };
  if (peaks.f32_gflops > reached.f32_gflops) {
    io.note(
      `warning: f32 arithmetic is taken for the ${peaks.f32_gflops} GFLOP/s that a kernel reached; measured alone it was ${reached.f32_gflops}, as on a machine that is busy: measure again when it is not`,
    );
  }
  if (!io.json) { for (const line of describeKernels(points, peaks)) io.print(line); }
  const path = await keepRates(gpu.info, rates);
  io.printJson({ name: "peak", adapter: gpu.name, measured, ...peaks, kernels: points });
  io.note(
    path === null
      ? "warning: not kept: HOME or XDG_CACHE_HOME must be set"
      : `kept in ${path}: plan tells step times from it, bench step --profile how near its kernels are`,
  );
}

/** The peaks, of which f32 arithmetic is no less than what a product or attention reached. */
export function peaksWith(peaks: Peaks, points: readonly OpPoint[]): Peaks {
  const inFull = points.filter(({ op, sizes }) =>
    sizes !== undefined && !(op === "matmul" && sizes[3] === HALF_BYTES)
  );
  const best = Math.max(0, ...inFull.map(({ flops, ms }) => Number((flops / ms / 1e6).toPrecision(4))));
  return { ...peaks, f32_gflops: Math.max(peaks.f32_gflops, best) };
}

/** Measures the peaks alone. */
export async function peaksNow(gpu: Gpu, io: Io): Promise<Peaks> {
  using stages = tellStages(io);
  return await measurePeaks(gpu, (what) => stages.tell({ what: `measuring ${what}` }));
}

/** Peaks in lines. */
export function* describePeaks(adapter: string, peaks: Peaks): Generator<string> {
  const row = (what: string, value: number, unit: string) =>
    `  ${what.padEnd(22)}${value.toFixed(value < 10 ? 2 : 1).padStart(10)} ${unit}`;
  yield adapter;
  yield row("f32 arithmetic", peaks.f32_gflops, "GFLOP/s");
  yield peaks.f16_gflops === null
    ? `  ${"f16 arithmetic".padEnd(22)}${"-".padStart(10)} the adapter has no half floats`
    : row("f16 arithmetic", peaks.f16_gflops, "GFLOP/s");
  yield row("copying", peaks.copy_gbps, "GB/s read and written");
  yield row("workgroup memory", peaks.workgroup_gbps, "GB/s read");
  yield row("uploads", peaks.upload_gbps, "GB/s from the host");
  yield row("a launch", peaks.launch_us, "µs");
}

/** The best rates of a few kernels. */
export function* describeKernels(points: readonly OpPoint[], peaks: Peaks): Generator<string> {
  for (const op of SHOWN) {
    const own = points.filter((point) => point.op === op);
    if (own.length === 0) continue;
    const isArithmetic = own.some(({ sizes }) => sizes !== undefined);
    const rate = (point: OpPoint) => (isArithmetic ? point.flops : point.bytes) / point.ms / 1e6;
    const best = own.reduce((most, one) => rate(one) > rate(most) ? one : most);
    const peak = isArithmetic ? peaks.f32_gflops : peaks.copy_gbps;
    yield `  ${op.padEnd(22)}${rate(best).toFixed(1).padStart(10)} ${isArithmetic ? "GFLOP/s" : "GB/s"}, ${
      (100 * rate(best) / peak).toFixed(0)
    } % of the peak at best${!isArithmetic && rate(best) > peak ? ", from caches" : ""}`;
  }
}
