/** Counts and times of pictures for every encoder and every cut that ffmpeg makes. Takes minutes. */
import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeFrames } from "../../data/video/decode.ts";
import { inTempFolder } from "../_util/frame_folders.ts";
import { ffmpeg, hasFfmpeg } from "../_util/video_files.ts";
import { ALWAYS, NEVER } from "../_util/video_seeks.ts";
import { ENCODERS, requireDecodedTimes } from "../_util/video_times.ts";

const source = (size: string) => [
  ...["-f", "lavfi", "-i", `testsrc2=s=${size}:r=25:d=2,noise=alls=20:allf=t,format=yuv420p`],
];
/** The first 25 pictures at an even pace, the others slower. */
const UNEVEN = ["-vf", "setpts='if(lt(N,25),N,25+(N-25)*4)/25/TB'", "-fps_mode", "vfr"];

/** Encoders whose names do not tell a file that holds them, or that need settings of their own. */
const SPECIAL: Readonly<Record<string, { file?: string; size?: string; more?: string[] }>> = {
  dnxhd: { file: "a.mov", size: "256x128", more: ["-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p"] },
  dvvideo: { file: "a.mov", size: "720x576", more: [] },
  flv: { file: "a.flv" },
  apng: { file: "a.apng", more: ["-plays", "0"] },
  gif: { file: "a.gif" },
  h261: { file: "a.avi", size: "176x144" },
  h263: { file: "a.3gp", size: "176x144" },
  h263p: { file: "a.mov" },
  libtheora: { file: "a.ogv" },
  libvpx: { file: "a.webm", more: ["-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k"] },
  "libvpx-vp9": { file: "a.webm", more: ["-cpu-used", "8", "-lag-in-frames", "16", "-b:v", "200k"] },
  "libaom-av1": { file: "a.mkv", more: ["-cpu-used", "8", "-lag-in-frames", "16", "-b:v", "200k"] },
  libx265: { more: ["-x265-params", "log-level=none"] },
  mjpeg: { file: "a.avi", more: ["-pix_fmt", "yuvj420p"] },
  mpeg1video: { file: "a.mpg" },
  mpeg2video: { file: "a.ts", more: ["-bf", "2"] },
  mpeg4: { file: "a.avi", more: ["-bf", "2"] },
  libxvid: { file: "a.avi", more: ["-bf", "2"] },
  qtrle: { file: "a.mov" },
  rpza: { file: "a.mov" },
  svq1: { file: "a.mov" },
  prores_ks: { file: "a.mov" },
  ffv1: { file: "a.avi" },
  rv10: { file: "a.rm" },
  rv20: { file: "a.rm" },
  wmv1: { file: "a.wmv" },
  wmv2: { file: "a.wmv" },
};

/** Encoders of single pictures, of hardware, and those that make nothing to be read by itself. */
const LEFT_OUT =
  /_(v4l2m2m|nvenc|omx|qsv|vaapi)$|^(a64|alias_pix|avrp|bmp|dpx|exr|fits|jpegls|libjxl|libwebp|p[abfgnhcp]\w*m|pcx|phm|png|qoi|sgi|sunrast|targa|tiff|vbn|wrapped|xbm|xface|xwd|jpeg2000|libopenjpeg|ljpeg|pgmyuv|roqvideo|librav1e|snow)/;

for (const encoder of ENCODERS) {
  if (LEFT_OUT.test(encoder)) continue;
  Deno.test({
    name: `${encoder}: pictures are counted and timed as the decoder shows them`,
    ignore: !hasFfmpeg,
    fn: () =>
      inTempFolder(async (root) => {
        const { file = "a.mkv", size = "96x64", more = [] } = SPECIAL[encoder] ?? {};
        const path = join(root, file);
        try {
          await ffmpeg([...source(size), ...UNEVEN, "-c:v", encoder, ...more, "-strict", "-2", path]);
        } catch {
          return console.log(`${encoder}: this ffmpeg does not encode it into ${file}`);
        }
        assert.ok(await requireDecodedTimes(path) > 0);
      }),
  });
}

const params = (encoder: string, text: string) => ["-c:v", `lib${encoder}`, `-${encoder}-params`, text];
const CUT: Readonly<Record<string, string[]>> = {
  "H.264 with closed groups": ["-c:v", "libx264", "-g", "12", "-bf", "3"],
  "H.264 with open groups": params(
    "x264",
    "open-gop=1:keyint=12:min-keyint=6:bframes=3:b-pyramid=2:scenecut=0",
  ),
  "H.264 with a rolling refresh": params("x264", "intra-refresh=1:keyint=12:bframes=0:scenecut=0"),
  "H.264 of fields": ["-c:v", "libx264", "-g", "12", "-bf", "2", "-flags", "+ildct+ilme"],
  "HEVC with open groups": params(
    "x265",
    "log-level=none:keyint=12:min-keyint=12:open-gop=1:bframes=4:scenecut=0",
  ),
  "MPEG-2": ["-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-q:v", "5"],
  "MPEG-4": ["-c:v", "mpeg4", "-g", "12", "-bf", "2", "-q:v", "5"],
};

for (const [name, encoding] of Object.entries(CUT)) {
  Deno.test({
    name: `${name}: cut anywhere, only the pictures that a decoder shows are counted`,
    ignore: !hasFfmpeg,
    fn: () =>
      inTempFolder(async (root) => {
        const whole = join(root, "whole.ts"), middle = join(root, "middle.ts");
        await ffmpeg([...source("96x64"), ...encoding, whole]);
        await cutTransportStream(whole, middle);
        const paths = [whole, middle];
        for (const ending of ["mkv", "mp4"]) {
          for (
            const [cut, from, before, after] of [
              ["cut", whole, ["-ss", "0.9"], []],
              ["edit", whole, ["-ss", "0.9"], ["-copyts"]],
              ["middle", middle, [], []],
              ["all", middle, [], ["-copyinkf"]],
            ] as const
          ) {
            const path = join(root, `${cut}.${ending}`);
            const made = await ffmpeg(["-v", "quiet", ...before, "-i", from, "-c", "copy", ...after, path])
              .then(() => true, () => false);
            if (made) paths.push(path);
          }
        }
        for (const path of paths) {
          const frames = await requireDecodedTimes(path);
          const wanted = [frames >> 1, frames - 2, frames - 1];
          const plain = await decodeFrames(path, wanted, { costs: NEVER });
          const found = await decodeFrames(path, wanted, { costs: ALWAYS });
          assert.deepEqual(found.rgb, plain.rgb, path);
        }
      }),
  });
}

/** Takes the first third away, up to the beginning of a packet. */
async function cutTransportStream(from: string, to: string): Promise<void> {
  const packets = Math.floor((await stat(from)).size / 188 / 3);
  await writeFile(to, (await readFile(from)).subarray(188 * packets));
}
