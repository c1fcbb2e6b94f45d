/** Measurements as lines of text, or of JSON. */
import type { LoaderMeasurement } from "../../bench/loader.ts";
import type { Measurement } from "../../bench/matmul.ts";
import type { ExchangeMeasurement } from "../../bench/mpi.ts";
import type { StepMeasurement } from "../../bench/step.ts";
import { formatBytes, formatCount } from "../../lib/text.ts";
import type { Io } from "../shared/output.ts";

/** Shows a measurement. */
export function showRow(
  row: Measurement & Partial<StepMeasurement> & Partial<LoaderMeasurement> & Partial<ExchangeMeasurement> & {
    share_of_matmul?: number;
  },
  io: Io,
): void {
  io.printJson(row);
  if (io.json) return;
  const extras = [
    row.clips_per_second === undefined ? "" : `${row.clips_per_second.toFixed(2)} clips/s`,
    row.frames_per_second === undefined ? "" : `${formatCount(row.frames_per_second)} frames/s`,
    row.frames_per_core_second === undefined ? "" : `${formatCount(row.frames_per_core_second)} a core`,
    row.ratio === undefined
      ? ""
      : row.name === "handover"
      ? `${formatCount(row.ratio)} times the shared`
      : row.name === "search"
      ? `${row.ratio.toFixed(1)} times the search`
      : `${(100 * row.ratio).toFixed(0)} % of the library alone`,
    row.growth_mb === undefined
      ? ""
      : `${row.rss_start_mb} to ${row.rss_end_mb} MB: ${row.growth_mb} MB more`,
    row.share_of_step === undefined ? "" : `${(100 * row.share_of_step).toFixed(0)} % of it exchange`,
    row.data_wait === undefined ? "" : `${(100 * row.data_wait).toFixed(1)} % waiting for data`,
    row.gpu_bytes === undefined ? "" : formatBytes(row.gpu_bytes),
    row.share_of_matmul === undefined ? "" : `${(100 * row.share_of_matmul).toFixed(0)} % of the matmul rate`,
  ].filter((text) => text !== "");
  const rate = [
    row.gflops >= 0.05 ? `${row.gflops.toFixed(1).padStart(9)} GFLOP/s` : "",
    row.gbps > 0 ? bandwidthText(row.gbps) : "",
  ].join(" ").trimEnd();
  io.print(
    `${row.name.padEnd(28)} ${row.shape.padEnd(32)} ${row.variant.padEnd(40)} ${
      row.ms.toFixed(2).padStart(10)
    } ms ${rate}  ${extras.join(", ")}`,
  );
}

/** Of a slow one in smaller units, so that digits are left of it. */
function bandwidthText(gbps: number): string {
  return gbps >= 0.1
    ? `${gbps.toFixed(2).padStart(9)} GB/s`
    : `${(1000 * gbps).toPrecision(3).padStart(9)} MB/s`;
}
