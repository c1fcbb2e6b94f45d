/** Videos of many codecs and containers, and the test that seeking in them gives the frames of decoding from the beginning. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { decodeFrames, probeVideo } from "../../data/video/decode.ts";
import { createPrng } from "../../lib/random.ts";
import { inTempFolder } from "./frame_folders.ts";
import { ffmpeg, hasFfmpeg } from "./video_files.ts";

/** Seek wherever there is a start, and nowhere. */
export const ALWAYS = { process: 0, seek: 0 }, NEVER = { process: Infinity, seek: Infinity };
export const FRAMES = 90;
export const SOURCE = [
  "-f",
  "lavfi",
  "-i",
  `testsrc2=s=96x64:r=25:d=${FRAMES / 25},noise=alls=20:allf=t,format=yuv420p`,
];
export const X264 = ["-c:v", "libx264", "-preset", "veryfast", "-g", "20", "-bf", "3"];

const encoders = hasFfmpeg ? spawnSync("ffmpeg", ["-v", "error", "-encoders"]).stdout.toString() : "";

interface Case {
  file: string;
  encoding: readonly string[];
  /** Second step: copied into another file with these arguments. */
  copy?: readonly string[];
}

const x264 = (params: string) => ["-c:v", "libx264", "-preset", "medium", "-x264-params", params];
const OPEN = x264("open-gop=1:keyint=20:min-keyint=10:bframes=3:b-pyramid=2:scenecut=0:ref=5");
const X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params"];

export const CASES: Record<string, Case> = {
  "H.264 in MP4": { file: "a.mp4", encoding: X264 },
  "H.264 in Matroska": { file: "a.mkv", encoding: X264 },
  "H.264 in FLV": { file: "a.flv", encoding: X264 },
  "H.264 with open groups in MP4": { file: "a.mp4", encoding: OPEN },
  "H.264 with open groups in Matroska": { file: "a.mkv", encoding: OPEN },
  "H.264 with groups of three": { file: "a.mp4", encoding: [...X264, "-g", "3", "-bf", "2"] },
  "H.264 with a rolling refresh": {
    file: "a.mp4",
    encoding: x264("intra-refresh=1:keyint=20:bframes=0:scenecut=0:ref=5"),
  },
  "H.264 of fields": { file: "a.mp4", encoding: [...X264, "-flags", "+ildct+ilme"] },
  "H.264 at uneven times": {
    file: "a.mp4",
    encoding: ["-vf", "setpts='(N+floor(N/7)*3+mod(N,3)*0.3)/25/TB'", "-fps_mode", "vfr", ...X264],
  },
  "H.264 in a transport stream": { file: "a.ts", encoding: X264 },
  "H.264 that does not begin at zero": { file: "a.mkv", encoding: X264, copy: ["-output_ts_offset", "5"] },
  "H.264 in fragments": { file: "a.mp4", encoding: X264, copy: ["-movflags", "frag_keyframe+empty_moov"] },
  "H.264 turned": { file: "a.mp4", encoding: X264, copy: ["-metadata:s:v", "rotate=90"] },
  "HEVC with open groups in MP4": {
    file: "a.mp4",
    encoding: [...X265, "log-level=none:keyint=20:min-keyint=20:open-gop=1:bframes=4:scenecut=0"],
  },
  "HEVC with open groups in Matroska": {
    file: "a.mkv",
    encoding: [...X265, "log-level=none:keyint=6:min-keyint=6:open-gop=1:bframes=4:scenecut=0"],
  },
  "VP9 with hidden frames": {
    file: "a.webm",
    encoding: [
      "-c:v",
      "libvpx-vp9",
      "-deadline",
      "realtime",
      "-cpu-used",
      "8",
      "-g",
      "20",
      "-auto-alt-ref",
      "1",
    ]
      .concat(["-lag-in-frames", "16", "-b:v", "300k"]),
  },
  "AV1": {
    file: "a.mp4",
    encoding: ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "20"],
  },
  "Motion JPEG in AVI": { file: "a.avi", encoding: ["-c:v", "mjpeg", "-q:v", "5"] },
  "Motion JPEG in QuickTime": {
    file: "a.mov",
    encoding: ["-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj422p"],
  },
};

/** Frames of a video: a few neighbours, single ones here and there, and the last. */
function someFrames(total: number, seed: number): number[] {
  const prng = createPrng(seed), group = prng.integer(total - 4);
  const wanted = Array.from(
    { length: total },
    (_, frame) => frame === total - 1 || (frame >= group && frame < group + 3) || prng.integer(20) === 0,
  );
  return wanted.flatMap((yes, frame) => yes ? [frame] : []);
}

/** Tests that seeking in the video of a case gives the same bytes as decoding it from the beginning, for sets of frames. */
export function seekTest(name: string, options: { seed: number; sets?: number }): void {
  const { file, encoding, copy } = CASES[name], { seed, sets = 1 } = options;
  Deno.test({
    name: `${name}: seeking gives the frames of decoding from the beginning`,
    ignore: !encoders.includes(` ${encoding[encoding.lastIndexOf("-c:v") + 1]} `),
    fn: () =>
      inTempFolder(async (root) => {
        let path = join(root, file);
        await ffmpeg([...SOURCE, ...encoding, path]);
        if (copy) await ffmpeg(["-i", path, "-c", "copy", ...copy, path = join(root, `copy-${file}`)]);
        const { frames } = await probeVideo(path);
        assert.equal(frames, FRAMES);
        for (let set = 0; set < sets; set++) {
          const wanted = someFrames(frames, seed + set);
          const plain = await decodeFrames(path, wanted, { costs: NEVER });
          assert.equal(plain.count, wanted.length);
          const found = await decodeFrames(path, wanted, { costs: ALWAYS });
          assert.deepEqual(found, plain, `frames ${wanted} of seed ${seed + set}`);
        }
      }),
  });
}
