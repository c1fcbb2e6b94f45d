import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readClipList, readLabels } from "../../../data/datasets/read.ts";
import { decodeClip } from "../../../data/frames/decode.ts";
import { checkSynthOptions } from "../../../data/synth/check.ts";
import { renderSynthClip } from "../../../data/synth/classified.ts";
import { isSynthesized, synthesize } from "../../../data/synth/dataset.ts";
import { type Motion, MOTIONS } from "../../../data/synth/motion.ts";
import { DEFAULT_SYNTH_OPTIONS, type SynthOptions, type SynthSplit } from "../../../data/synth/options.ts";
import { frameAccuracy, type LabelledFrame } from "../../_util/frame_classifier.ts";

const options = DEFAULT_SYNTH_OPTIONS;
const allMotions: SynthOptions = { ...options, classes: Object.keys(MOTIONS) as Motion[] };

function frames(from: SynthOptions, split: SynthSplit, clips: number): LabelledFrame[] {
  return Array.from({ length: clips }, (_, clip) => renderSynthClip(from, split, clip)).flatMap((
    { label, frames },
  ) => [0, 3, 7].map((t) => ({ rgb: frames[t], label })));
}

for (const [what, set] of [["four directions", options], ["all motions", allMotions]] as const) {
  Deno.test(`a classifier on single frames stays near chance: ${what}`, () => {
    const classes = set.classes.length;
    const accuracy = frameAccuracy(frames(set, "train", 800), frames(set, "val", 400), { ...set, classes });
    assert(Math.abs(accuracy - 1 / classes) < 0.06, `accuracy ${accuracy}, chance ${1 / classes}`);
  });
}

Deno.test("first frames alone stay near chance too, so no motion starts at places of its own", () => {
  const first = (split: SynthSplit, clips: number) =>
    Array.from({ length: clips }, (_, clip) => renderSynthClip(options, split, clip))
      .map(({ label, frames }) => ({ rgb: frames[0], label }));
  const accuracy = frameAccuracy(first("train", 1600), first("val", 800), { ...options, classes: 4 });
  assert(Math.abs(accuracy - 0.25) < 0.06, `accuracy ${accuracy}`);
});

Deno.test("the same classifier does read the place of the shape, so place would be found if it told the class", () => {
  const quadrants = (split: SynthSplit, clips: number): LabelledFrame[] =>
    Array.from({ length: clips }, (_, clip) => renderSynthClip(options, split, clip)).map((
      { frames, poses },
    ) => ({
      rgb: frames[0],
      label: (poses[0].x < options.width / 2 ? 0 : 1) + (poses[0].y < options.height / 2 ? 0 : 2),
    }));
  const accuracy = frameAccuracy(quadrants("train", 600), quadrants("val", 300), { ...options, classes: 4 });
  assert(accuracy > 0.7, `accuracy ${accuracy}`);
});

/** Shift in pixels (each axis within ±8, round the torus) that best carries one frame onto another. */
function bestShift(a: Uint8Array, b: Uint8Array, { width, height }: { width: number; height: number }) {
  let best = { dx: 0, dy: 0, error: Infinity };
  for (let dy = -8; dy <= 8; dy++) {
    for (let dx = -8; dx <= 8; dx++) {
      let error = 0;
      for (let y = 0; y < height; y += 2) {
        for (let x = 0; x < width; x += 2) {
          const to = 3 * (((y + dy + height) % height) * width + ((x + dx + width) % width)),
            from = 3 * (y * width + x);
          error += Math.abs(b[to] - a[from]) + Math.abs(b[to + 1] - a[from + 1]) +
            Math.abs(b[to + 2] - a[from + 2]);
        }
      }
      if (error < best.error) best = { dx, dy, error };
    }
  }
  return best;
}

Deno.test("two frames do tell the class: the shift between them points the right way", () => {
  const right = Array.from({ length: 120 }, (_, clip) => renderSynthClip(options, "val", clip)).filter(
    (clip) => {
      const { dx, dy } = bestShift(clip.frames[2], clip.frames[5], options);
      const seen = Math.abs(dx) > Math.abs(dy) ? (dx < 0 ? "left" : "right") : dy < 0 ? "up" : "down";
      return seen === clip.motion;
    },
  );
  assert(right.length >= 114, `${right.length} of 120`);
});

Deno.test("every class has the same number of clips and every motion does what its name says", () => {
  const moving = { ...options, classes: allMotions.classes.filter((motion) => motion !== "still") };
  const clips = Array.from(
    { length: 10 * moving.classes.length },
    (_, clip) => renderSynthClip(moving, "train", clip),
  );
  for (const [label, motion] of moving.classes.entries()) {
    const own = clips.filter((clip) => clip.label === label);
    assert.equal(own.length, 10);
    for (const { motion: current, poses: [a, b] } of own) {
      assert.equal(current, motion);
      const step = { x: b.x - a.x, y: b.y - a.y, angle: b.angle - a.angle };
      const moved = Math.abs(step.x) + Math.abs(step.y);
      const [least, greatest] = moving.speed;
      if (motion === "left") assert(step.x <= -least && step.x >= -greatest && step.y === 0);
      if (motion === "right") assert(step.x >= least && step.x <= greatest && step.y === 0);
      if (motion === "up") assert(step.y <= -least && step.y >= -greatest && step.x === 0);
      if (motion === "down") assert(step.y >= least && step.y <= greatest && step.x === 0);
      if (motion.includes("_")) {
        assert.equal(Math.sign(step.x), motion.endsWith("right") ? 1 : -1);
        assert.equal(Math.sign(step.y), motion.startsWith("down") ? 1 : -1);
        assert(Math.abs(Math.abs(step.x) - Math.abs(step.y)) < 1e-9);
      }
      if (motion === "clockwise") assert(step.angle > 0 && step.angle < Math.PI / 4 && moved === 0);
      if (motion === "anticlockwise") assert(step.angle < 0 && step.angle > -Math.PI / 4 && moved === 0);
    }
  }
  const growing = clips.filter((clip) => clip.motion === "grow").flatMap(({ poses }) =>
    poses.slice(1).map((pose, i) => pose.radius > poses[i].radius)
  );
  assert(growing.filter((grew) => grew).length / growing.length > 0.7); // the rest jump back to the least size
  assert(clips.every((clip) => clip.shape !== "disc"), "a disc cannot show that it turns");
});

Deno.test("clips depend on seed, split and number; training and validation share none", () => {
  const text = (set: SynthOptions, split: SynthSplit, clip: number) =>
    renderSynthClip(set, split, clip).frames.join(";");
  assert.equal(text(options, "train", 5), text(options, "train", 5));
  assert.notEqual(text(options, "train", 5), text({ ...options, seed: 2 }, "train", 5));
  const train = new Set(Array.from({ length: 200 }, (_, clip) => text(options, "train", clip)));
  assert.equal(train.size, 200);
  for (let clip = 0; clip < 100; clip++) assert(!train.has(text(options, "val", clip)));
});

Deno.test("clips with classes are those of earlier releases, and so is their record", async () => {
  const digest = createHash("sha256");
  for (const clip of [0, 5]) {
    for (const frame of renderSynthClip(options, "train", clip).frames) digest.update(frame);
  }
  assert.equal(digest.digest("hex"), "4a153e2bdfa2048dbae1729e4622c0d73affb8184d6ca27a2be374f7b7dcb260");
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "synth.json"), EARLIER_RECORD);
    assert.equal(await isSynthesized(folder, { ...options, framesPerClip: [3, 4] }), true);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** As it was written before there were kinds. */
const EARLIER_RECORD = `${
  JSON.stringify(
    {
      version: 1,
      template: "{:05d}.jpg",
      trainClips: 1200,
      valClips: 400,
      width: 32,
      height: 32,
      framesPerClip: [3, 4],
      classes: ["left", "right", "up", "down"],
      speed: [2, 4],
      radius: [0.14, 0.24],
      background: "plain",
      quality: 92,
      seed: 1,
    },
    null,
    2,
  )
}\n`;

for (const background of ["gradient", "noise"] as const) {
  Deno.test(`a ${background} background stands still and does not hide the shape`, () => {
    const { frames: [first, last] } = renderSynthClip(
      { ...options, background, framesPerClip: 2, speed: [8, 8] },
      "train",
      0,
    );
    const same = first.filter((value, i) => value === last[i]).length / first.length;
    assert(same > 0.5 && same < 0.99, `${same} of the values are equal`);
  });
}

Deno.test("synthesize() writes lists, labels and JPEG folders that read back as drawn, the same every time", async () => {
  const folder = await Deno.makeTempDir();
  const set: SynthOptions = {
    ...options,
    trainClips: 6,
    valClips: 3,
    width: 48,
    height: 32,
    framesPerClip: 5,
  };
  try {
    assert.equal(await isSynthesized(folder, set), false);
    const progress: number[] = [];
    await synthesize(folder, set, { onProgress: (done, total) => progress.push(done / total) });
    assert.equal(progress.length, 9);
    assert.equal(progress.at(-1), 1);
    assert.equal(await isSynthesized(folder, set), true);
    assert.equal(await isSynthesized(folder, { ...set, seed: 2 }), false);
    assert.deepEqual(
      await readLabels(join(folder, "labels.csv")),
      set.classes.map((motion) => MOTIONS[motion]),
    );
    for (const [split, count] of [["train", 6], ["val", 3]] as const) {
      const { clips } = await readClipList(join(folder, `${split}.txt`), { classes: 4 });
      assert.equal(clips.length, count);
      for (const [index, { path, label, frames: frameCount }] of clips.entries()) {
        assert.equal(frameCount, 5);
        const drawn = renderSynthClip(set, split, index);
        assert.equal(label, drawn.label);
        const indices = [1, 2, 3, 4, 5];
        const decoded = await decodeClip({
          folder: join(folder, path),
          path,
          template: "{:05d}.jpg",
          first: 1,
          frameCount,
          indices,
        });
        assert.deepEqual([decoded.width, decoded.height, decoded.substitutions], [48, 32, []]);
        const pixels = drawn.frames.flatMap((frame) => [...frame]);
        const error = pixels.reduce((sum, value, i) => sum + Math.abs(value - decoded.frames[i]), 0) /
          pixels.length;
        assert(error < 4, `mean difference ${error} grey levels`);
      }
    }
    const before = await Deno.readFile(join(folder, "train/00001/00001.jpg"));
    await synthesize(folder, set);
    assert.deepEqual(await Deno.readFile(join(folder, "train/00001/00001.jpg")), before);
    await synthesize(folder, { ...set, trainClips: 2 });
    assert.equal(
      (await Array.fromAsync(Deno.readDir(join(folder, "train")))).length,
      2,
      "an earlier set leaves nothing",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("of several lengths each class takes turns, and a clip's motion does not depend on its length", async () => {
  const folder = await Deno.makeTempDir();
  const set: SynthOptions = { ...options, trainClips: 16, valClips: 8, framesPerClip: [3, 5] };
  try {
    await synthesize(folder, set);
    const { clips } = await readClipList(join(folder, "train.txt"), { classes: 4 });
    for (let label = 0; label < 4; label++) {
      const lengths = clips.filter((clip) => clip.label === label).map(({ frames }) => frames);
      assert.deepEqual(lengths, [3, 5, 3, 5]);
    }
    for (const { path, frames } of clips) {
      assert.equal((await Array.fromAsync(Deno.readDir(join(folder, path)))).length, frames);
    }
    assert.equal(await isSynthesized(folder, set), true);
    assert.equal(await isSynthesized(folder, { ...set, framesPerClip: 3 }), false);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const long = renderSynthClip({ ...options, framesPerClip: 9 }, "train", 5).frames;
  assert.deepEqual(renderSynthClip({ ...options, framesPerClip: 4 }, "train", 5).frames, long.slice(0, 4));
});

Deno.test("synthesize() does not touch a folder that is not its own, and can be interrupted and repeated", async () => {
  const folder = await Deno.makeTempDir();
  const set = { ...options, trainClips: 4, valClips: 2, framesPerClip: 2 };
  try {
    await Deno.mkdir(join(folder, "train"));
    await Deno.writeTextFile(join(folder, "train", "precious.jpg"), "x");
    await assert.rejects(
      synthesize(folder, set),
      /must be empty or hold an earlier one with synth.json, it holds "train"/,
    );
    assert.equal(await Deno.readTextFile(join(folder, "train", "precious.jpg")), "x");
    const own = join(folder, "own"), stop = new AbortController();
    await assert.rejects(
      synthesize(own, set, { signal: stop.signal, onProgress: () => stop.abort() }),
      /InterruptedError/,
    );
    assert.equal(await isSynthesized(own, set), false);
    await synthesize(own, set);
    assert.equal(await isSynthesized(own, set), true);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("of two that make the same set at the same time one does, and both find it whole", async () => {
  const folder = await Deno.makeTempDir(), root = join(folder, "set");
  const set = { ...options, trainClips: 6, valClips: 4, framesPerClip: 2 };
  try {
    const written = [0, 0], told: string[] = [];
    await Promise.all(
      written.map((_, i) =>
        synthesize(root, set, { onProgress: () => written[i]++, onWait: (holder) => told.push(holder) })
      ),
    );
    assert.deepEqual(written.sort(), [0, 10]);
    assert.match(told.join(), /^(process \d+ .*|another process )is writing to it/);
    assert.equal(await isSynthesized(root, set), true);
    for (const { path } of (await readClipList(join(root, "train.txt"), { classes: 4 })).clips) {
      assert.equal((await Array.fromAsync(Deno.readDir(join(root, path)))).length, 2);
    }
    assert.deepEqual(
      (await Array.fromAsync(Deno.readDir(root), ({ name }) => name)).sort(),
      ["labels.csv", "synth.json", "train", "train.txt", "val", "val.txt"],
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an interruption keeps the earlier set whole, and of a new one nothing", async () => {
  const folder = await Deno.makeTempDir(), root = join(folder, "set");
  const set = { ...options, trainClips: 4, valClips: 2, framesPerClip: 2 };
  const interrupted = async (changed: SynthOptions) => {
    const stop = new AbortController();
    const writing = synthesize(root, changed, { signal: stop.signal, onProgress: () => stop.abort() });
    await assert.rejects(writing, /^InterruptedError: Stopped before the data set ".*set" was whole/);
  };
  try {
    await interrupted(set);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    await synthesize(root, set);
    await interrupted({ ...set, seed: 7 });
    assert.equal(await isSynthesized(root, set), true);
    assert.equal((await Array.fromAsync(Deno.readDir(join(root, "train")))).length, 4);
    // A process that was killed leaves what it had built.
    await Deno.mkdir(join(root, "set.123-0a1b2c3d.partial", "train"), { recursive: true });
    await synthesize(root, { ...set, seed: 7 });
    assert.equal((await Array.fromAsync(Deno.readDir(root))).length, 6);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("options of which no sensible data set comes are refused by name", () => {
  const bad: [Partial<SynthOptions>, RegExp][] = [
    [{ trainClips: 0 }, /clips a split must be at least 1, current value is \[0,400\]/],
    [{ width: 8 }, /width and height must be at least 16/],
    [{ framesPerClip: 1 }, /frames a clip must be at least 2/],
    [{ framesPerClip: [12, 1] }, /frames a clip must be at least 2, current value is \[12,1\]/],
    [{ framesPerClip: [] }, /frames a clip must be at least 2/],
    [{ classes: ["left"] }, /at least 2 different motions/],
    [{ classes: ["left", "sideways" as Motion] }, /classes must be of left, right/],
    [{ speed: [3, 1] }, /speed must be/],
    [{ speed: [1, 30] }, /speed must be/],
    [{ radius: [0.1, 0.5] }, /radius must be/],
    [{ background: "stars" as "plain" }, /background must be/],
    [{ quality: 0 }, /quality must be/],
    [{ seed: -1 }, /seed must be/],
    [{ kind: "films" as "motions" }, /kind must be one of motions, captioned_pictures, captioned_clips/],
    [{ shapes: ["disc"] }, /shapes must be left out where clips have classes/],
    [{ colours: ["red"] }, /colours must be left out where clips have classes/],
  ];
  for (const [change, message] of bad) {
    assert.throws(() => checkSynthOptions({ ...options, ...change }), message);
  }
});
