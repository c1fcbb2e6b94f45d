/** Counts and times of pictures; `tests/full/` goes through every encoder and more cuts. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkClips } from "../../../data/datasets/check.ts";
import { decodeFrames, probeVideo, videoTimes } from "../../../data/video/decode.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { ffmpeg, hasFfmpeg } from "../../_util/video_files.ts";
import { ALWAYS, NEVER } from "../../_util/video_seeks.ts";
import { ENCODERS, requireDecodedTimes } from "../../_util/video_times.ts";

const REPORTS = fileURLToPath(new URL("../../fixtures/reports/", import.meta.url));

function timesTest(name: string, work: (root: string) => Promise<void>, encoder = "mpeg4"): void {
  Deno.test({ name, ignore: !hasFfmpeg || !ENCODERS.has(encoder), fn: () => inTempFolder(work) });
}

/** Seconds of every picture, in thousandths. */
async function thousandths(path: string): Promise<number[]> {
  const { frames } = await probeVideo(path);
  const times = await videoTimes(path, Array.from({ length: frames }, (_, frame) => frame));
  return times!.map((time) => Math.round(1000 * time));
}

for (const name of ["vfr8.webm", "vfr9.webm"]) {
  timesTest(`${name}: pictures at an uneven pace stand where the file says`, async () => {
    const path = join(REPORTS, "vfr_times", name);
    const expected = [...Array(20).keys()].map((i) => 100 * i).concat(
      [2, 3, 4, 5, 6, 7, 8, 9].map((i) => 1000 * i),
    );
    assert.deepEqual(await thousandths(path), expected);
    await requireDecodedTimes(path);
  });
}

timesTest("an AVI without its index lasts as long as its pictures", async () => {
  const path = join(REPORTS, "avi_without_index", "noidx.avi");
  assert.deepEqual(await thousandths(path), [...Array(40).keys()].map((i) => 100 * i));
  assert.equal((await probeVideo(path)).seconds, 4);
});

timesTest("a single picture lasts as long as its file says", async (root) => {
  const path = join(root, "one.mp4");
  await ffmpeg(["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.1", "-c:v", "mpeg4", path]);
  assert.deepEqual([(await probeVideo(path)).frames, (await probeVideo(path)).seconds], [1, 0.1]);
});

timesTest("pictures before a cut that no decoder shows are not counted, nor missed by a check", async () => {
  const root = join(REPORTS, "leading_pictures");
  assert.equal(await requireDecodedTimes(join(root, "hvcut.mkv")), 30);
  const { frames, problems } = await checkClips([{ path: "hvcut.mkv", label: 0, frames: 30, line: 1 }], {
    ...{ root, template: "{:05d}.jpg", classes: null, allFrames: false, atOnce: 1 },
  });
  assert.deepEqual([frames, problems], [30, []]);
});

const SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=1.2,noise=alls=20:allf=t,format=yuv420p"];
const UNEVEN = ["-vf", "setpts='if(lt(N,15),N,15+(N-15)*4)/25/TB'", "-fps_mode", "vfr"];

for (
  const [file, encoder, ...more] of [
    ["live.webm", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k", "-live", "1"],
    ["a.mpg", "mpeg2video", "-bf", "2"],
    ["a.gif", "gif"],
    ["a.ogv", "libtheora"],
    ["a.wmv", "wmv2"],
    ["a.mkv", "ffv1"],
    ["a.nut", "mpeg4", "-bf", "2"],
    ["a.avi", "mpeg4", "-bf", "2"],
  ]
) {
  timesTest(`the times of ${encoder} in ${file} are those of the decoder`, async (root) => {
    await ffmpeg([...SOURCE, ...file === "a.mpg" ? [] : UNEVEN, "-c:v", encoder, ...more, join(root, file)]);
    assert.ok(await requireDecodedTimes(join(root, file)) >= 29);
  }, encoder);
}

timesTest("a film that was put together from two goes on where the first ends", async (root) => {
  const part = join(root, "part.mpg"), both = join(root, "both.mpg");
  await ffmpeg([...SOURCE, "-t", "1.2", "-c:v", "mpeg2video", part]);
  const bytes = await readFile(part);
  await writeFile(both, new Uint8Array([...bytes, ...bytes]));
  const times = await thousandths(both);
  assert.deepEqual(times, [...Array(60).keys()].map((i) => 40 * i));
}, "mpeg2video");

timesTest(
  "a recording that begins in the middle has the pictures that are shown, and seeks find them",
  async (root) => {
    const whole = join(root, "whole.ts"), path = join(root, "middle.ts"), cut = join(root, "cut.mp4");
    const refresh = ["-x264-params", "intra-refresh=1:keyint=12:bframes=0:scenecut=0"];
    await ffmpeg([...SOURCE, "-t", "1.2", "-c:v", "libx264", ...refresh, whole]);
    const bytes = await readFile(whole);
    await writeFile(path, bytes.subarray(188 * Math.floor(bytes.length / 188 / 3)));
    const frames = await requireDecodedTimes(path);
    assert.ok(frames > 5 && frames < 25, `${frames} frames`);
    // The container marks the picture after the cut as a key, but decoders hold pictures back until all of it was refreshed.
    await ffmpeg(["-ss", "0.5", "-i", whole, "-c", "copy", cut]);
    await requireDecodedTimes(cut);

    const open = join(root, "open.mkv"), late = join(root, "late.mkv");
    const groups = ["-x265-params", "log-level=none:keyint=6:min-keyint=6:open-gop=1:bframes=4:scenecut=0"];
    await ffmpeg([...SOURCE, "-c:v", "libx265", "-preset", "ultrafast", ...groups, open]);
    await ffmpeg(["-ss", "0.3", "-i", open, "-c", "copy", late]);
    const last = await requireDecodedTimes(late) - 1;
    const [plain, found] = await Promise.all(
      [NEVER, ALWAYS].map((costs) => decodeFrames(late, [last - 3, last], { costs })),
    );
    assert.deepEqual(found, plain);
  },
  "libx265",
);
