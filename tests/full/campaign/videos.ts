/** Videos that are damaged, cut or something else than their name says. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeVideoClip, probeVideo } from "../../../data/video/decode.ts";
import { createPrng } from "../../../lib/random.ts";
import { ffmpeg } from "../../_util/video_files.ts";
import { decodedSeconds } from "../../_util/video_times.ts";
import type { Attack, Damage } from "./attack.ts";

const SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=2,noise=alls=20:allf=t,format=yuv420p"];
const ENCODINGS: readonly (readonly [file: string, ...encoding: string[]])[] = [
  ["a.mp4", "-c:v", "libx264", "-g", "12", "-bf", "3"],
  ["a.ts", "-c:v", "libx264", "-x264-params", "open-gop=1:keyint=12:min-keyint=6:bframes=3:scenecut=0"],
  ["a.mkv", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=12:open-gop=1"],
  ["a.webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "12"],
  ["a.avi", "-c:v", "mpeg4", "-bf", "2", "-g", "12"],
  ["a.mpg", "-c:v", "mpeg2video", "-bf", "2", "-g", "12"],
  ["a.ogv", "-c:v", "libtheora"],
  ["a.gif"],
];

/** Takes the beginning, the end or single bytes away. */
function spoil(bytes: Uint8Array<ArrayBuffer>, number: number): Uint8Array<ArrayBuffer> {
  const prng = createPrng(number, 1), way = prng.integer(3);
  if (way === 0) return bytes.subarray(0, 1 + prng.integer(bytes.length));
  if (way === 1) return bytes.subarray(prng.integer(bytes.length));
  for (let i = 0; i < 20; i++) bytes[prng.integer(bytes.length)] ^= 1 + prng.integer(255);
  return bytes;
}

/** A line that a terminal shows as one. */
// deno-lint-ignore no-control-regex
const LINE = /^[^\x00-\x1f\x7f]{1,400}$/;

async function readDamaged(folder: string, number: number): Promise<Damage | null> {
  const [file, ...encoding] = ENCODINGS[number % ENCODINGS.length], path = join(folder, file);
  await ffmpeg([...SOURCE, ...encoding, path]);
  await writeFile(path, spoil(new Uint8Array(await readFile(path)), number));
  let frames = 0, complaint: string | null = null;
  try {
    ({ frames, complaint } = await probeVideo(path, { timeoutMs: 20_000 }));
  } catch (error) {
    const told = String((error as Error).message);
    return LINE.test(told) ? null : { kind: "unclear", detail: `${file}: ${told}` };
  }
  const clip = await decodeVideoClip({ file: path, path: file, indices: [1, Math.ceil(frames / 2), frames] });
  const unclear = clip.substitutions.find(({ reason }) => !LINE.test(reason));
  if (unclear) return { kind: "unclear", detail: `${file}: ${unclear.reason}` };
  const shown = decodedSeconds(path).length, silent = complaint === null && clip.substitutions.length === 0;
  return silent && shown !== frames
    ? { kind: "wrong file", detail: `${file}: ${frames} frames are counted, ${shown} are shown` }
    : null;
}

/** Files that make a reader open another one. @param other its path */
const SCRIPTS: readonly ((other: string) => string)[] = [
  (other) => `#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\n${other}\n#EXT-X-ENDLIST\n`,
  (other) => `#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:4,\nfile:${other}\n`,
  (other) => `ffconcat version 1.0\nfile '${other}'\n`,
  (other) => `ffconcat version 1.0\nfile 'file:${other}'\nduration 1\n`,
  (other) =>
    `<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet><Representation id="1"><BaseURL>${other}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  () => "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
  (other) => `RIFF\0\0\0\0AVI ${other}`,
];

async function openScript(folder: string, number: number): Promise<Damage | null> {
  const other = join(folder, "other.ts"), ending = [".mp4", ".mkv", ".avi", ".ts", ""][number % 5];
  const path = join(folder, `${number % 2 === 0 ? "-" : ""}clip${ending}`);
  await ffmpeg([...SOURCE, "-c:v", "mpeg2video", other]);
  await writeFile(path, SCRIPTS[number % SCRIPTS.length](other));
  const { bad, substitutions } = await decodeVideoClip({ file: path, path, indices: [1] });
  if (!bad) {
    return { kind: "wrong file", detail: `${ending}: script ${number % SCRIPTS.length} was followed` };
  }
  return LINE.test(substitutions[0].reason) ? null : { kind: "unclear", detail: substitutions[0].reason };
}

/** Attacks by video files. */
export const VIDEO_ATTACKS: readonly Attack[] = [
  { part: "videos", what: "damaged, cut at either end", tries: 120, attempt: readDamaged },
  { part: "videos", what: "playlists and scripts under a video's name", tries: 35, attempt: openScript },
];
