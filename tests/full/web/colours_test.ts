/** Colours of decoded videos: what the page makes of a browser's frames is what ffmpeg gives, for every way of telling them or not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { decodeFrames, probeVideo } from "../../../data/video/decode.ts";
import { ffmpeg } from "../../_util/video_files.ts";
import { browserTest, callHarness, openHarness } from "../../web/_browser.ts";

const CODECS = {
  mp4: ["-c:v", "libx264", "-qp", "2"],
  webm: ["-c:v", "libvpx-vp9", "-crf", "2", "-b:v", "0"],
  mkv: ["-c:v", "libaom-av1", "-crf", "5", "-b:v", "0", "-cpu-used", "8"],
};
/** How a file tells its matrix, and by which it was made; null: it does not. */
const MATRICES = [[null, "bt601"], ["smpte170m", "bt601"], ["bt709", "bt709"], [
  "bt2020nc",
  "bt2020",
]] as const;
/** Steps of eight bits. */
const MOST = 1;

browserTest("frames decoded in a browser have the colours that ffmpeg gives, to a step", async (browser) => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" });
  try {
    const page = await openHarness(browser, folder);
    let largest = 0;
    for (const [ending, codec] of Object.entries(CODECS)) {
      for (const [told, matrix] of MATRICES) {
        for (const range of ["tv", "pc"]) {
          const file = join(folder, `${told}_${range}.${ending}`);
          await ffmpeg([
            ...["-f", "lavfi", "-i", "testsrc2=size=66x48:rate=10:duration=0.4,format=rgb24"],
            ...["-vf", `scale=out_color_matrix=${matrix}:out_range=${range},format=yuv420p`, ...codec],
            ...told === null ? [] : ["-colorspace", told],
            ...["-color_range", range, file],
          ]);
          const { frames } = await probeVideo(file);
          const expected = await decodeFrames(file, Array.from({ length: frames }, (_, i) => i));
          const found = await callHarness(page, "decode", (await Deno.readFile(file)).toBase64());
          assert.deepEqual([found.width, found.height, found.times.length], [66, 48, frames]);
          const rgb = Uint8Array.fromBase64(found.rgb);
          const most = rgb.reduce((most, value, i) => Math.max(most, Math.abs(value - expected.rgb[i])), 0);
          assert.ok(most <= MOST, `${told} ${range} ${ending}: ${most} steps`);
          largest = Math.max(largest, most);
        }
      }
    }
    console.log(`24 files, at most ${largest} steps`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
