import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { checkClips, type CheckOptions } from "../../../data/datasets/check.ts";
import { frameBytes, inTempFolder, writeFrames } from "../../_util/frame_folders.ts";

const clip = (path: string, line: number, frames: number | null = 3, label = 0) => ({
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

/** Checks one clip of three frames after something was done to its folder. */
async function checkOne(
  spoil: (folder: string) => Promise<unknown>,
  options: Partial<CheckOptions> = {},
): Promise<string[]> {
  let found: string[] = [];
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "c"), { frames: 3, shade: 1 });
    await spoil(join(root, "c"));
    const { problems } = await checkClips([clip("c", 1)], { ...optionsFor(root), ...options });
    found = problems.map(({ kind, problem }) => `${kind}: ${problem}`);
  });
  return found;
}

const SPOILED: [
  what: string,
  spoil: (folder: string) => Promise<unknown>,
  expected: string[],
  all?: boolean,
][] = [
  ["a good folder", () => Promise.resolve(), []],
  ["no folder", (folder) => rm(folder, { recursive: true }), ["missing: it does not exist"]],
  [
    "an empty folder",
    (folder) => rm(folder, { recursive: true }).then(() => mkdir(folder)),
    ["empty: its folder is empty"],
  ],
  [
    "frames by another name",
    (folder) =>
      rm(folder, { recursive: true }).then(() =>
        writeFrames(folder, { frames: 2, shade: 1, template: "{}.jpg" })
      ),
    ['empty: none of its 2 files is named like "{:05d}.jpg"; its pictures are named like "{:d}.jpg" (data.image_tmpl, or --template)'],
  ],
  [
    "a frame less, at the end, and a foreign file",
    (folder) => rm(join(folder, "00003.jpg")).then(() => writeFile(join(folder, "x.txt"), "")),
    ["count: the list states 3 frames, its folder has 2 and 1 other file"],
  ],
  [
    "a gap",
    async (folder) => {
      await rm(join(folder, "00002.jpg"));
      await writeFile(join(folder, "00004.jpg"), await frameBytes({ frames: 1, shade: 1 }, 4));
    },
    ["gap: frame 2 of 3 is missing"],
  ],
  [
    "a file of no bytes",
    (folder) => truncate(join(folder, "00001.jpg")),
    ["unreadable: frame 1: the file is empty"],
  ],
  [
    "a file cut short",
    async (folder) => {
      const bytes = await frameBytes({ frames: 1, shade: 1 }, 3);
      await writeFile(join(folder, "00003.jpg"), bytes.subarray(0, bytes.length / 2));
    },
    ["unreadable: frame 3: its JPEG data is broken or cut short"],
  ],
  [
    "a PNG named .jpg, which is read by what it holds",
    async (folder) => {
      const raw = { width: 2, height: 2, channels: 3 } as const;
      await writeFile(join(folder, "00001.jpg"), await sharp(new Uint8Array(12), { raw }).png().toBuffer());
    },
    ["size: frame 3 is 16x12, the clip's first is 2x2"],
  ],
  [
    "a pipe in place of a file",
    async (folder) => {
      await rm(join(folder, "00003.jpg"));
      execFileSync("mkfifo", [join(folder, "00003.jpg")]);
    },
    ["unreadable: frame 3: it is not a regular file"],
  ],
  [
    "a folder in place of a file",
    (folder) => rm(join(folder, "00001.jpg")).then(() => mkdir(join(folder, "00001.jpg"))),
    ["unreadable: frame 1: it is not a regular file"],
  ],
  [
    "a last frame of another size",
    async (folder) => {
      await writeFile(join(folder, "00003.jpg"), await frameBytes({ frames: 1, shade: 1, width: 24 }, 3));
    },
    ["size: frame 3 is 24x12, the clip's first is 16x12"],
  ],
  [
    "a grey frame, which can be read",
    async (folder) => {
      const raw = { width: 16, height: 12, channels: 1 } as const;
      await writeFile(
        join(folder, "00001.jpg"),
        await sharp(new Uint8Array(192), { raw }).toColourspace("b-w").jpeg().toBuffer(),
      );
    },
    [],
  ],
  ["a broken frame in the middle, unless all are read", (folder) => truncate(join(folder, "00002.jpg")), []],
  [
    "a broken frame in the middle, when all are read",
    (folder) => truncate(join(folder, "00002.jpg")),
    ["unreadable: frame 2: the file is empty"],
    true,
  ],
];

for (const [what, spoil, expected, allFrames = false] of SPOILED) {
  // Windows has no named pipes in folders.
  const ignore = what.startsWith("a pipe") && Deno.build.os === "windows";
  Deno.test({
    name: `a check finds ${expected.length === 0 ? "nothing wrong with" : "out"} ${what}`,
    ignore,
    fn: async () => assert.deepEqual(await checkOne(spoil, { allFrames }), expected),
  });
}

Deno.test("labels are held against the classes, and those without a clip are listed", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "a"), { frames: 3, shade: 1 });
    await writeFrames(join(root, "b"), { frames: 3, shade: 50 });
    const { problems, unusedLabels } = await checkClips([clip("a", 1, 3, 2), clip("b", 2, 3, 3)], {
      ...optionsFor(root),
      classes: 3,
    });
    assert.deepEqual(problems, [
      { kind: "label", line: 2, path: "b", problem: "its label must be in 0 … 2, current value is 3" },
    ]);
    assert.deepEqual(unusedLabels, [0, 1]);
  });
});

Deno.test("a clip is the same as another by folder or by content, and frame counts are part of the content", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "a"), { frames: 3, shade: 1 });
    await cp(join(root, "a"), join(root, "copy"), { recursive: true });
    await writeFrames(join(root, "longer"), { frames: 4, shade: 1 });
    const clips = [clip("a", 1), clip("longer", 2, 4), clip("copy", 4, 3, 1), clip("a", 5)];
    const { problems } = await checkClips(clips, optionsFor(root));
    assert.deepEqual(problems.map(({ kind, line, problem }) => `${line} ${kind}: ${problem}`), [
      '4 duplicate: its content is that of "a" (line 1), under another label',
      "5 duplicate: line 1 names the same clip",
    ]);
  });
});

Deno.test("a clip leaks by its folder under one root, and by its content under any", async () => {
  await inTempFolder(async (root) => {
    for (
      const [folder, shade] of [["train/a", 1], ["train/b", 50], ["val/a", 90], ["val/moved", 50]] as const
    ) {
      await writeFrames(join(root, folder), { frames: 3, shade });
    }
    const leaks = async (own: string[], ownRoot: string, others: string[], otherRoot: string) => {
      const numbered = (paths: string[]) => paths.map((path, i) => clip(path, i + 1));
      const { problems } = await checkClips(numbered(own), {
        ...optionsFor(join(root, ownRoot)),
        against: { clips: numbered(others), root: join(root, otherRoot) },
      });
      return problems.map(({ kind, path, problem }) => `${kind} ${path}: ${problem}`);
    };
    // "a" under another root is another clip.
    assert.deepEqual(await leaks(["a", "b"], "train", ["a", "gone", "moved"], "val"), [
      'leak b: its content is that of "moved" (line 3 of the other list)',
    ]);
    assert.deepEqual(await leaks(["train/a"], "", ["val/a", "train/a"], ""), [
      "leak train/a: line 2 of the other list is the same clip",
    ]);
  });
});

Deno.test("a check counts clips, frames and sizes, reports progress over both lists and stops when told", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "a"), { frames: 1, shade: 1 });
    await writeFrames(join(root, "b"), { frames: 3, shade: 2, width: 20 });
    await writeFrames(join(root, "c"), { frames: 3, shade: 3, width: 20 });
    const progress: string[] = [];
    const clips = [clip("a", 1, 1), clip("b", 2), clip("c", 3, null)];
    const result = await checkClips(clips, {
      ...optionsFor(root),
      against: { clips: [clip("a", 1)], root: join(root, "none") },
      onProgress: (done, total) => progress.push(`${done}/${total}`),
    });
    assert.deepEqual({ ...result, problems: result.problems.length }, {
      clips: 3,
      videos: 0,
      frames: 7,
      decoded: 5,
      problems: 0,
      sizes: [["20x12", 2], ["16x12", 1]],
      unusedLabels: [],
    });
    assert.deepEqual(progress, ["1/4", "2/4", "3/4", "4/4"]);
    const signal = AbortSignal.abort(new Error("stop"));
    await assert.rejects(checkClips(clips, { ...optionsFor(root), signal }), /^Error: stop$/);
  });
});
