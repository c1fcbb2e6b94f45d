/** Pictures of videos and their times, as ffprobe gives them once it has decoded everything, against what the project tells. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { decodeFrames, probeVideo, videoTimes } from "../../data/video/decode.ts";

/** Encoders of this ffmpeg, by name. */
export const ENCODERS = new Set(
  listOf("-encoders").flatMap((line) => /^ V\S+ (\w\S*)/.exec(line)?.[1] ?? []),
);

function listOf(option: string): string[] {
  return (spawnSync("ffmpeg", ["-v", "error", option]).stdout ?? "").toString().split("\n");
}

/** Seconds of every picture that a decoder shows; NaN where it tells none. */
export function decodedSeconds(path: string): number[] {
  const entries = ["-select_streams", "V:0", "-show_entries", "frame=best_effort_timestamp_time"];
  const lines = spawnSync("ffprobe", ["-v", "quiet", ...entries, "-of", "csv", `file:${path}`]).stdout
    .toString();
  return [...lines.matchAll(/^frame,?(N\/A|-?[\d.]+)?/gm)].map(([, time]) => Number(time));
}

/**
 * Requires that the pictures of a video are counted and timed as its decoder shows them, and that each of them can be decoded.
 *
 * @returns their number
 */
export async function requireDecodedTimes(path: string): Promise<number> {
  const seconds = decodedSeconds(path), { frames, seconds: whole } = await probeVideo(path);
  assert.equal(frames, seconds.length, path);
  const all = Array.from({ length: frames }, (_, frame) => frame);
  const told = await videoTimes(path, all);
  if (told === null) assert.ok(seconds.every(Number.isNaN), `${path} tells times`);
  else {
    const first = seconds.findIndex((time) => !Number.isNaN(time));
    told.forEach((time, frame) => {
      // A picture whose time goes back stands where the one before it does.
      const expected = Math.max(seconds[frame] - seconds[first] + told[first], told[frame - 1] ?? 0);
      assert.ok(!(Math.abs(time - expected) > 1e-5), `${path}: frame ${frame} at ${time} for ${expected}`);
    });
    assert.ok(frames === 1 || whole! > told[frames - 1], path);
  }
  const { count } = await decodeFrames(path, [...all, frames]);
  assert.equal(count, frames, `${path}: decoded`);
  return frames;
}
