/** The check of lists on clips that are video files. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFile, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkClips, type CheckOptions } from "../../../data/datasets/check.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";
import { ffmpeg, greyOf, H264, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

const clip = (path: string, line: number, frames: number | null = null, label = 0) => ({
  path,
  line,
  frames,
  label,
});
const optionsFor = (root: string): CheckOptions => ({
  root,
  template: "{:05d}.jpg",
  classes: null,
  allFrames: false,
  atOnce: 2,
});

/** 24 frames of noise, which compresses badly: a cut takes frames away. */
async function writeNoise(path: string): Promise<void> {
  let state = 1;
  const noise = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16 & 255;
  await writeVideo(path, {
    frames: 24,
    width: 64,
    height: 48,
    pixel: () => [noise(), noise(), noise()],
    // The index stands in front, so that a file cut short can still be opened.
    encoding: [...H264, "-movflags", "+faststart"],
  });
}

/** A video after something was done to it, and what the check says; each finding begins with the expected text. */
const SPOILED: [
  what: string,
  spoil: (file: string) => Promise<unknown>,
  expected: string[],
  all?: boolean,
][] = [
  ["a good video", () => Promise.resolve(), []],
  ["a good video, read whole", () => Promise.resolve(), [], true],
  ["a video that is not there", (file) => rm(file), ["missing: it does not exist"]],
  ["a file of no bytes", (file) => truncate(file), ["empty: the file is empty"]],
  ["text named like a video", (file) => writeFile(file, "text"), ["video: it cannot be read: Invalid data"]],
  [
    "a sound without pictures",
    (file) => ffmpeg(["-f", "lavfi", "-i", "sine=duration=0.2", file]),
    ["video: it has no video stream"],
  ],
  [
    "a video cut short",
    async (file) => truncate(file, (await readFile(file)).length >> 1),
    ["unreadable: frame 1", "damaged: "],
  ],
  [
    "a video that is damaged in the middle, when all is read",
    async (file) => {
      const bytes = await readFile(file), middle = bytes.length >> 1;
      bytes.fill(0, middle, middle + (bytes.length >> 3));
      await writeFile(file, bytes);
    },
    ["unreadable: decoding gives ", "damaged: "],
    true,
  ],
  [
    "a pipe in place of a video",
    async (file) => {
      await rm(file);
      execFileSync("mkfifo", [file]);
    },
    ["missing: it is neither a folder nor a regular file"],
  ],
];

for (const [what, spoil, expected, allFrames = false] of SPOILED) {
  Deno.test({
    name: `a check finds ${expected.length === 0 ? "nothing wrong with" : "out"} ${what}`,
    // Windows has no named pipes in folders.
    ignore: !hasFfmpeg || what.startsWith("a pipe") && Deno.build.os === "windows",
    fn: () =>
      inTempFolder(async (root) => {
        await writeNoise(join(root, "c.mp4"));
        await spoil(join(root, "c.mp4"));
        const { problems } = await checkClips([clip("c.mp4", 1)], { ...optionsFor(root), allFrames });
        const found = problems.map(({ kind, problem }) => `${kind}: ${problem}`);
        assert.equal(found.length, expected.length, found.join("\n"));
        found.forEach((text, i) => assert.ok(text.startsWith(expected[i]), text));
      }),
  });
}

Deno.test({
  name: "videos and folders are checked side by side, and the same content is found under any name",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      await writeFrames(join(root, "folder.mp4"), { frames: 3, shade: 1 });
      await writeVideo(join(root, "a b.mp4"), { frames: 9, width: 20, height: 16, pixel: greyOf });
      await writeVideo(join(root, "one.mkv"), { frames: 1, width: 20, height: 16, pixel: greyOf });
      await copyFile(join(root, "a b.mp4"), join(root, "copy.avi"));
      const clips = [
        clip("folder.mp4", 1, 3),
        clip("a b.mp4", 2, 8),
        clip("copy.avi", 3, null, 1),
        clip("one.mkv", 4),
      ];
      const result = await checkClips(clips, {
        ...optionsFor(root),
        against: { clips: [clip("a b.mp4", 7), clip("gone.mp4", 8)], root },
      });
      assert.deepEqual(result.problems.map(({ line, kind, problem }) => `${line} ${kind}: ${problem}`), [
        "2 count: the list states 8 frames, the video has 9",
        "2 leak: line 7 of the other list is the same clip",
        '3 duplicate: its content is that of "a b.mp4" (line 2), under another label',
        '3 leak: its content is that of "a b.mp4" (line 7 of the other list)',
      ]);
      assert.deepEqual([result.clips, result.videos, result.frames, result.decoded], [4, 3, 22, 7]);
      assert.deepEqual(result.sizes, [["20x16", 3], ["16x12", 1]]);
      const whole = await checkClips(clips, { ...optionsFor(root), allFrames: true });
      assert.equal(whole.decoded, 22);
    }),
});

Deno.test({
  name: "a check of videos stops when told, and says that ffprobe is missing",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      await writeVideo(join(root, "a.mp4"), { frames: 9, width: 20, height: 16, pixel: greyOf });
      const stop = new AbortController();
      const checked = checkClips([clip("a.mp4", 1), clip("a.mp4", 2), clip("a.mp4", 3)], {
        ...optionsFor(root),
        signal: stop.signal,
        onProgress: () => stop.abort(new Error("stop")),
      });
      await assert.rejects(checked, /^Error: stop$/);
      const path = Deno.env.get("PATH")!;
      await writeVideo(join(root, "b.mp4"), { frames: 9, width: 20, height: 16, pixel: greyOf });
      Deno.env.set("PATH", root);
      try {
        await assert.rejects(checkClips([clip("b.mp4", 1)], optionsFor(root)), /ffprobe must be on the PATH/);
      } finally {
        Deno.env.set("PATH", path);
      }
    }),
});
