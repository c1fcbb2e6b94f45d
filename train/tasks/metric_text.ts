/** Metrics as text: shares as percentages, ranks with one decimal, other values with four. */

import { formatShare, formatValue } from "../../lib/text.ts";
import type { MetricColumn } from "./task.ts";

/** A metric's value. @param digits Decimals of a percentage. */
export function formatMetric(
  { format }: Pick<MetricColumn, "format">,
  value: number,
  { digits }: { digits?: number } = {},
): string {
  if (format === "share") return formatShare(value, digits);
  return format === "rank" && Number.isFinite(value) ? value.toFixed(1) : formatValue(value);
}
