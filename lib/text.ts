/** Figures as text, the same in every line, page and error: durations, bytes, counts, shares, bars. */

/** A duration as `42s`, `3m 05s`, `2h 07m` or `3d 04h`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "?";
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole % 3600 / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${two(Math.floor(whole % 86_400 / 3600))}h`;
}

/** Bytes in binary units with three significant digits: `812 B`, `4.25 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes, unit = 0;
  // From 999.5 on, three digits would round up to 1000.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${units[unit]}`;
}

/** A count with thousands separators: `21,112,686`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** A share as a percentage: `97.3 %`. */
export function formatShare(share: number, digits = 1): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : "?";
}

/** A loss or a rate: four digits, scientific below a thousandth. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(2);
  return value.toFixed(4);
}

/** Text from a file, short enough to stand in a message: its first `most` characters. */
export function shorten(text: string, most = 80): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

const BAR_BLOCKS = " ▏▎▍▌▋▊▉█";

/** A bar of `width` cells, filled to a share in eighths of a cell. */
export function progressBar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  const full = Math.floor(eighths / 8);
  if (full >= width) return "█".repeat(width);
  return "█".repeat(full) + BAR_BLOCKS[eighths % 8] + " ".repeat(width - full - 1);
}

/** Three significant digits without an exponent: `7.25`, `12.3`, `640`. */
export function threeDigits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** "1 or 3"; "1, 3, 5 or 10". */
export function orText(values: readonly number[]): string {
  return `${values.slice(0, -1).join(", ")} or ${values.at(-1)}`;
}

/** A file's name as a shell takes it. */
export function shellName(name: string): string {
  return /^[\w.,+@%=/-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}
