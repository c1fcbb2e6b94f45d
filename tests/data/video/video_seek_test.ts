/** Frames of videos reached by seeking; `tests/full/` goes through more codecs and containers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { planRuns, VideoIndex } from "../../../data/video/_index.ts";
import { listedTimes, type Packet } from "../../../data/video/_packets.ts";
import { decodeFrames, probeVideo, videoTimes } from "../../../data/video/decode.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { ffmpeg, hasFfmpeg } from "../../_util/video_files.ts";
import { ALWAYS, FRAMES, NEVER, seekTest, SOURCE, X264 } from "../../_util/video_seeks.ts";

for (
  const name of [
    "H.264 in MP4",
    "H.264 with open groups in Matroska",
    "H.264 with a rolling refresh",
    "HEVC with open groups in Matroska",
    "VP9 with hidden frames",
  ]
) seekTest(name, { seed: 1 });

const GROUP = 20;

/** An H.264 video with groups of 20 frames of which one key picture is damaged, in a container that is not. */
async function damaged(root: string, frame: number): Promise<string> {
  const path = join(root, "damaged.mp4");
  await ffmpeg([...SOURCE, ...X264, "-sc_threshold", "0", path]);
  const entries = ["-select_streams", "v", "-show_entries", "packet=pos,size", "-of", "csv=p=0"];
  const listing = spawnSync("ffprobe", ["-v", "error", ...entries, path]).stdout.toString();
  const [size, position] = listing.split("\n")[frame].split(",").map(Number);
  const bytes = await readFile(path);
  for (let i = position + size / 2; i < position + size / 2 + 50; i++) bytes[Math.floor(i)] ^= 0x55;
  await writeFile(path, bytes);
  return path;
}

Deno.test({
  name: "a late frame is decoded from the key frame before it, and what lies before that is not",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      const path = await damaged(root, 2 * GROUP);
      const late = [3 * GROUP + 3, 4 * GROUP + 1];
      const before = await decodeFrames(path, late, { costs: NEVER });
      assert.notEqual(before.complaint, null);
      const { complaint, count } = await decodeFrames(path, late, { costs: ALWAYS });
      assert.deepEqual([complaint, count], [null, 2]);
      // With the damage among the frames, the answer is that of decoding from the beginning.
      const wanted = [2 * GROUP + 15, ...late];
      const plain = await decodeFrames(path, wanted, { costs: NEVER });
      assert.notEqual(plain.complaint, null);
      assert.deepEqual(await decodeFrames(path, wanted, { costs: ALWAYS }), plain);
    }),
});

Deno.test({
  name: "the times of frames and the length of a video are told in seconds",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      const even = join(root, "even.mkv"), uneven = join(root, "uneven.mp4"), none = join(root, "none.avi");
      await ffmpeg([...SOURCE, ...X264, "-output_ts_offset", "3", even]);
      assert.deepEqual(await videoTimes(even, [0, 1, 50]), [0, 0.04, 2]);
      assert.ok(Math.abs((await probeVideo(even)).seconds! - FRAMES / 25) < 1e-3);
      await ffmpeg([...SOURCE, "-vf", "setpts='(N+2*gte(N,10))/25/TB'", "-fps_mode", "vfr", ...X264, uneven]);
      const times = await videoTimes(uneven, [9, 10, 11]);
      assert.deepEqual(times!.map((time) => Math.round(1000 * time)), [360, 480, 520]);
      await ffmpeg([...SOURCE, ...X264, none]); // H.264 in AVI: times come from the order of decoding, not for the last
      const told = (await videoTimes(none, [0, 1, FRAMES - 1]))!;
      assert.deepEqual(told.map((time) => Math.round(1000 * time)), [0, 40, 40 * (FRAMES - 1)]);
      assert.ok(Math.abs((await probeVideo(none)).seconds! - FRAMES / 25) < 1e-3);
      await assert.rejects(
        videoTimes(even, [FRAMES]),
        /Cannot time frames of ".*": they must be in 0 … 89, current value is 90/,
      );
    }),
});

/** Packets in decoding order from "time flags" words; K key, D hidden, C corrupt. */
function packetsOf(text: string): Packet[] {
  return text.split(" ").map((word) => ({
    time: word.startsWith("?") ? NaN : parseInt(word),
    key: word.includes("K"),
    hidden: word.includes("D"),
    doubtful: word.includes("C"),
  }));
}

/** Packets shown one tick after the other, all of them keys but for those that `key` leaves out. */
function shownAt(times: readonly number[], key: (time: number) => boolean = () => true): Packet[] {
  return times.map((time) => ({ time, key: key(time), hidden: false, doubtful: false }));
}

function indexOf(packets: readonly Packet[], times: readonly number[], tickSeconds = 1): VideoIndex {
  return VideoIndex.from(Float64Array.from(times), tickSeconds, packets)!;
}

const CLEAN = { cleanBeginning: true };

Deno.test("packets tell when pictures are shown only where every one of them is", () => {
  const told = (text: string) => {
    const listed = listedTimes(packetsOf(text), CLEAN);
    return listed && [[...listed.times].join(" "), listed.doubtfulPackets];
  };
  assert.deepEqual(told("0K 3 1 2 4K"), ["0 1 2 3 4", 0]);
  assert.deepEqual(told("-2KD -1D 0 1 2K"), ["0 1 2", 0]);
  assert.equal(told("0K 1 1 2"), null); // two at one time
  assert.equal(told("0K ? 1 2"), null); // one at no time
  assert.equal(told("0K 1C 2 3"), null);
  assert.equal(told("2K 0 1 3 4"), null); // pictures before the first key may be dropped
  assert.equal(told("0 1 2K 3"), null);
  // From the second clean start on nothing can be missing: the decoder is asked about the packets before it alone.
  assert.deepEqual(told("2K 0 1 3 6K 4 5 7 8 9 10 11 12 13 14"), ["6 7 8 9 10 11 12 13 14", 7]);
  assert.deepEqual(told("? 1 2K 3 4K 5 6 7 8 9"), ["4 5 6 7 8 9", 4]);
  assert.equal(told("2K 0 1 3 6K 4 5 7 8 9 10 11 12C 13 14"), null);
  const held = listedTimes(packetsOf("0K 1 2K 3 4 5 6"), { cleanBeginning: false })!;
  assert.deepEqual([[...held.times], held.doubtfulPackets], [[2, 3, 4, 5, 6], 2]);
  const again = [...Array(50).keys(), ...Array.from({ length: 50 }, (_, i) => i + 0.5)];
  assert.equal(listedTimes(shownAt(again), CLEAN), null); // two recordings one after the other, each from 0
  assert.equal(listedTimes([], CLEAN), null);
});

Deno.test("VideoIndex starts only where every later picture is decoded as from the beginning", () => {
  const starts = (text: string, shown?: number[]) => {
    const packets = packetsOf(text);
    const index = indexOf(packets, shown ?? [...listedTimes(packets, CLEAN)!.times]);
    return Array.from({ length: index.length }, (_, i) => index.startFor(i));
  };
  assert.deepEqual(starts("0K 3 1 2 4K 7 5 6"), [0, 0, 0, 0, 4, 4, 4, 4]);
  assert.deepEqual(starts("0K 1 4K 2 3 5"), [0, 0, 0, 0, 4, 4]); // pictures shown before the key that follows them
  assert.deepEqual(starts("0K 3 1 2K 4"), [0, 0, 0, 0, 0]); // 3 was decoded before the key 2
  assert.deepEqual(starts("2K 0 1 3 4K", [2, 3, 4]), [0, 0, 2]); // no decoder shows the pictures before the first
  assert.deepEqual(starts("0K 1 2KC 3 4K", [0, 1, 2, 3, 4]), [0, 0, 0, 0, 0]);
  assert.deepEqual(starts("0K ? 2K 3 4K", [0, 1, 2, 3, 4]), [0, 0, 0, 0, 0]);
  assert.deepEqual(starts("-2KD -1D 0 1 2K 3"), [0, 0, 2, 2]);
  assert.deepEqual(starts("0K 1 2KD 3 4K 5"), [0, 0, 0, 3, 3]);
  assert.equal(VideoIndex.from(new Float64Array(0), 0.1, []), null);
  assert.equal(VideoIndex.from(Float64Array.of(0, 1), NaN, []), null);
});

Deno.test("VideoIndex keeps every time exactly, even or not", () => {
  const check = (times: number[]) => {
    const index = indexOf(shownAt(times), times);
    assert.deepEqual(times.map((_, i) => index.time(i)), times);
    return index.sizeBytes - 4 * times.length;
  };
  for (const rate of [12, 23.976, 25, 29.97, 60]) {
    assert.equal(check(Array.from({ length: 500 }, (_, i) => 7 + Math.round(i * 1000 / rate))), 0, `${rate}`);
  }
  assert.ok(check([5, 6, 9, 10]) > 0);
  assert.ok(check([0, 1, 2 ** 40, 2 ** 41]) > 0);
  check([3]);
});

Deno.test("planRuns() skips a gap only where that saves more than it costs", () => {
  const times = [...Array(100).keys()];
  const index = indexOf(shownAt(times, (time) => time % 10 === 0), times);
  const plan = (frames: number[], costs: { process: number; seek: number }) =>
    planRuns(frames, index, 1, costs);
  assert.deepEqual(plan([5, 6, 39, 99], { process: 25, seek: 3 }), [
    { start: 0, frames: [5, 6, 39] }, // from 7 to 30: 23 pictures
    { start: 90, frames: [99] },
  ]);
  assert.deepEqual(plan([15], { process: 25, seek: 10 }), [{ start: 0, frames: [15] }]);
  assert.deepEqual(plan([15], { process: 25, seek: 9 }), [{ start: 10, frames: [15] }]);
  assert.deepEqual(plan([10, 19, 20, 21], ALWAYS), [{ start: 10, frames: [10, 19, 20, 21] }]);
  assert.deepEqual(plan([], ALWAYS), []);
});
