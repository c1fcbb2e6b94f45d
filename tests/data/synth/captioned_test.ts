import assert from "node:assert/strict";
import { join } from "node:path";
import { groupedPairs, parsePairs } from "../../../data/datasets/pairs.ts";
import { renderCaptionedClip } from "../../../data/synth/captioned.ts";
import { checkSynthOptions } from "../../../data/synth/check.ts";
import { isSynthesized, synthesize } from "../../../data/synth/dataset.ts";
import { CLIP_COLOURS, CLIP_SHAPES, COLOURS, PALETTE, SHAPES } from "../../../data/synth/looks.ts";
import { MOTIONS } from "../../../data/synth/motion.ts";
import {
  CAPTIONED_KINDS,
  DEFAULT_SYNTH_OPTIONS,
  synthDefaults,
  type SynthOptions,
  type SynthSplit,
} from "../../../data/synth/options.ts";
import { captionedSentences, scenesOf, sentenceOf } from "../../../data/synth/sentences.ts";
import { clipTokenizer, subsetTokenizer, tokensOf } from "../../../data/text/tokenizer.ts";
import { frameAccuracy, type LabelledFrame } from "../../_util/frame_classifier.ts";

const pictures = synthDefaults("captioned_pictures"), clips = synthDefaults("captioned_clips");

const rendered = (options: SynthOptions, split: SynthSplit, count: number) =>
  Array.from({ length: count }, (_, clip) => renderCaptionedClip(options, split, clip));

Deno.test("a sentence says its scene, with the article that its next word asks for", () => {
  const square = {
    shape: "square",
    colour: "green",
    size: null,
    background: null,
    motion: "left",
    pace: null,
  } as const;
  assert.equal(sentenceOf(square), "a green square moves left");
  const disc = {
    shape: "disc",
    colour: "red",
    size: "large",
    background: "orange",
    motion: null,
    pace: null,
  } as const;
  assert.equal(sentenceOf(disc), "a large red circle on an orange background");
  assert.equal(sentenceOf({ ...square, colour: "orange", motion: "still" }), "an orange square stands still");
  assert.equal(
    sentenceOf({ ...square, motion: "up_left", pace: "quickly" }),
    "a green square moves quickly up and left",
  );
});

Deno.test("where sentences say the pace, slow and quick clips move by the lowest and the highest third of the speed", () => {
  const options = { ...clips, paces: true, classes: ["down_right", "still"], speed: [1, 4] } as const;
  const scenes = scenesOf(options, "train");
  assert.equal(new Set(scenes.map(sentenceOf)).size, 12 * (2 + 1), "standing still has no pace");
  const speeds = { slowly: [1, 2], quickly: [3, 4] };
  for (const { scene, poses: [first, second] } of rendered({ ...options, framesPerClip: 2 }, "train", 60)) {
    const right = second.x - first.x, down = second.y - first.y, speed = Math.hypot(right, down);
    if (scene.pace === null) assert.equal(speed, 0);
    else {
      const [least, most] = speeds[scene.pace];
      assert(
        right > 0 && Math.abs(right - down) < 1e-9 && speed >= least && speed <= most,
        `${scene.pace} ${speed}`,
      );
    }
  }
});

Deno.test("clips have 3 shapes, 4 colours and 9 motions in both splits, and validation each of the 108 sentences once", () => {
  for (const split of ["train", "val"] as const) {
    assert.equal(new Set(scenesOf(clips, split).map(sentenceOf)).size, 108);
  }
  const captions = (seed: number) =>
    rendered({ ...clips, seed, framesPerClip: 2 }, "val", 108).map(({ caption }) => caption);
  const [one, other] = [captions(1), captions(2)];
  assert.equal(new Set(one).size, 108);
  assert.notDeepEqual(one, other);
  assert.deepEqual(one.toSorted(), other.toSorted());
  const first = one.slice(0, 40).map((caption) => caption.split(" ").slice(0, 3).join(" "));
  assert(new Set(first).size > 9, "a part of a gallery shows more than the first looks");
});

Deno.test("pictures for validation show pairs of shape and colour that training lacks, and none of those of clips", () => {
  const looks = (split: SynthSplit) =>
    new Set(scenesOf(pictures, split).map(({ shape, colour }) => `${colour} ${shape}`));
  const train = looks("train"), val = looks("val");
  assert.deepEqual([train.size, val.size, train.intersection(val).size], [23, 13, 0]);
  for (const shape of CLIP_SHAPES) {
    for (const colour of CLIP_COLOURS) assert(train.has(`${colour} ${shape}`), `${colour} ${shape}`);
  }
  const words = [...train].join(" ");
  for (const word of [...SHAPES, ...COLOURS]) assert(words.includes(word), word);
  assert.equal(new Set(rendered(pictures, "val", 208).map(({ caption }) => caption)).size, 208);
});

Deno.test("clips depend on seed, split and number alone, and validation repeats no training clip", () => {
  for (const options of [pictures, clips]) {
    const text = (set: SynthOptions, split: SynthSplit, clip: number) =>
      renderCaptionedClip(set, split, clip).frames.join(";");
    assert.equal(text(options, "train", 5), text(options, "train", 5));
    assert.notEqual(text(options, "train", 5), text({ ...options, seed: 2 }, "train", 5));
    const train = new Set(Array.from({ length: 100 }, (_, clip) => text(options, "train", clip)));
    assert.equal(train.size, 100);
    for (let clip = 0; clip < 50; clip++) assert(!train.has(text(options, "val", clip)));
  }
});

Deno.test("a classifier on single frames of clips stays near chance: only the motion tells the end of the sentence", () => {
  const classes = clips.classes.length;
  const frames = (split: SynthSplit, parts: readonly number[]): LabelledFrame[] =>
    parts.flatMap((seed) => rendered({ ...clips, seed }, split, split === "val" ? 108 : 900)).flatMap((
      clip,
    ) => [0, 3, 7].map((t) => ({ rgb: clip.frames[t], label: clips.classes.indexOf(clip.scene.motion!) })));
  const accuracy = frameAccuracy(frames("train", [1]), frames("val", [1, 2, 3, 4]), { ...clips, classes });
  assert(Math.abs(accuracy - 1 / classes) < 0.05, `accuracy ${accuracy}, chance ${1 / classes}`);
});

Deno.test("what a sentence says is what is seen: the colour, the dark or named background, the size, the motion", () => {
  const near = (rgb: Uint8Array, at: number, colour: readonly number[]) =>
    colour.every((level, c) => Math.abs(rgb[3 * at + c] - level) <= 15);
  for (const { scene, frames: [rgb], poses: [{ radius }] } of rendered(pictures, "train", 100)) {
    const own = Array.from({ length: rgb.length / 3 }, (_, at) => at);
    const shape = own.filter((at) => near(rgb, at, PALETTE[scene.colour])).length;
    const ground = own.filter((at) => near(rgb, at, PALETTE[scene.background!])).length;
    assert(shape >= 8 && ground > own.length / 3, `${sentenceOf(scene)}: ${shape} and ${ground} pixels`);
    assert(scene.size === "small" ? radius < 0.17 * 32 : radius > 0.21 * 32, `${scene.size} ${radius}`);
  }
  for (const { scene, frames, poses: [a, b] } of rendered(clips, "train", 90)) {
    assert.equal(frames.length, 8);
    const dark = frames[0].filter((level) => level < 50).length / frames[0].length;
    assert(dark > 0.6, `${sentenceOf(scene)}: ${dark} of the values are dark`);
    const step = { left: b.x < a.x, right: b.x > a.x, up: b.y < a.y, down: b.y > a.y };
    const turn = { clockwise: b.angle > a.angle, anticlockwise: b.angle < a.angle };
    const seen = { ...step, ...turn, still: frames[0].every((level, i) => level === frames[7][i]) };
    const shown = Object.keys(seen).filter((motion) => seen[motion as keyof typeof seen]);
    const size = scene.motion === "grow" || scene.motion === "shrink";
    assert.deepEqual(shown, size ? [] : [scene.motion]);
    if (size) assert.notEqual(a.radius, b.radius);
  }
});

Deno.test("the tokens of the default sentences say all of both kinds", async () => {
  const whole = await clipTokenizer(), tokens = tokensOf(whole, captionedSentences());
  const small = subsetTokenizer(whole, tokens);
  for (const options of [pictures, clips, { ...clips, shapes: SHAPES, colours: COLOURS }]) {
    for (const scene of scenesOf(options, "val")) assert.deepEqual(small.unknownIn(sentenceOf(scene)), []);
  }
  assert.deepEqual(small.unknownIn("a green dog moves left"), ["dog"]);
  assert(tokens.length < 50);
});

Deno.test("synthesize() writes lists of pairs, and a set of another kind takes the place of the whole earlier one", async () => {
  const folder = await Deno.makeTempDir(), root = join(folder, "set");
  const entries = async () => (await Array.fromAsync(Deno.readDir(root), ({ name }) => name)).sort();
  const few = { trainClips: 6, valClips: 4, width: 16, height: 16 };
  try {
    for (const options of CAPTIONED_KINDS.map((kind) => ({ ...synthDefaults(kind), ...few }))) {
      await synthesize(root, options);
      assert.deepEqual(await entries(), ["synth.json", "train", "train.jsonl", "val", "val.jsonl"]);
      assert.equal(await isSynthesized(root, options), true);
      assert.equal(await isSynthesized(root, { ...options, colours: ["red", "blue"] }), false);
      for (const [split, count] of [["train", 6], ["val", 4]] as const) {
        const file = join(root, `${split}.jsonl`);
        const records = groupedPairs(parsePairs(await Deno.readTextFile(file), { file }).pairs);
        assert.equal(records.length, count);
        for (const [clip, { path, captions }] of records.entries()) {
          assert.deepEqual(captions, [renderCaptionedClip(options, split, clip).caption]);
          const frames = await Array.fromAsync(Deno.readDir(join(root, path)));
          assert.equal(frames.length, options.framesPerClip);
        }
      }
    }
    await synthesize(root, { ...DEFAULT_SYNTH_OPTIONS, ...few });
    assert.deepEqual(await entries(), ["labels.csv", "synth.json", "train", "train.txt", "val", "val.txt"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("options of which no sensible captions come are refused by name", () => {
  const bad: [SynthOptions, RegExp][] = [
    [{ ...clips, valClips: 109 }, /validation clips must be at most 108, as many as .* different sentences/],
    [{ ...clips, valClips: 9, colours: ["red"], shapes: ["disc"] }, /must be at most 7, /],
    [{ ...pictures, valClips: 209 }, /validation clips must be at most 208, .*current value is 209$/],
    [
      { ...pictures, shapes: CLIP_SHAPES, colours: CLIP_COLOURS },
      /must leave pairs of both for training and/,
    ],
    [{ ...pictures, framesPerClip: 2 }, /frames of a picture must be 1, current value is 2/],
    [{ ...pictures, classes: ["left", "right"] }, /classes must be left out for pictures/],
    [{ ...clips, framesPerClip: 1 }, /frames a clip must be at least 2/],
    [{ ...clips, classes: ["left"] }, /at least 2 different motions/],
    [{ ...clips, shapes: [] }, /shapes must be different ones of disc, square/],
    [{ ...clips, shapes: ["cross", "cross"] }, /shapes must be different ones of/],
    [{ ...clips, colours: ["pink" as "red"] }, /colours must be different ones of red, orange/],
    [{ ...clips, colours: ["black"] }, /colours must be left without black/],
  ];
  for (const [options, message] of bad) assert.throws(() => checkSynthOptions(options), message);
  for (const options of [pictures, clips, { ...clips, valClips: 108 }]) checkSynthOptions(options);
  assert.deepEqual(Object.keys(MOTIONS).filter((motion) => !motion.includes("_")), clips.classes);
});
