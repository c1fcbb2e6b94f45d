import assert from "node:assert/strict";
import { parseConfig } from "../../../train/recipe/config.ts";
import { adviceOn, DataWait, type Waiting } from "../../../train/run/data_wait.ts";

const recipe = (data: string) =>
  parseConfig(`data: { train_root: /clips, num_classes: 2, train_list: a, val_list: b, ${data} }`).config;
const WAITING: Waiting = { share: 0.62, busyCores: 3, clipBytes: 2 ** 20, clips: 1000, isCached: false };
const MACHINE = { cores: 8, freeBytes: 2 ** 30 };

Deno.test("a run that waits is told for what, and which key helps", () => {
  const pictures = recipe("workers: 2, cache_mb: 256"), videos = recipe("modality: video, workers: 8");
  const cases: [ReturnType<typeof recipe>, Partial<Waiting>, number, RegExp][] = [
    [
      videos,
      {},
      2 ** 30,
      /^62 % of the time the GPU waits for videos to be decoded: data\.frame_cache=run .* once$/,
    ],
    [pictures, {}, 2 ** 30, /waits for pictures to be decoded: data\.workers=8 works on more clips at once$/],
    [pictures, {}, 2 ** 34, /; data\.cache_mb=2000 keeps the decoded frames of 1,000 clips in memory$/],
    [
      pictures,
      { busyCores: 0.1 },
      2 ** 30,
      /the disk under "\/clips" is slow; data\.frame_cache=DIR on a faster disk/,
    ],
    [
      videos,
      { isCached: true },
      2 ** 30,
      /stored frames to be decoded: all 8 cores are at it; smaller pictures help/,
    ],
    [
      videos,
      { isCached: true, busyCores: 0.1 },
      2 ** 30,
      /stored frames to be read: the disk is slow; a faster disk/,
    ],
  ];
  for (const [config, change, freeBytes, wanted] of cases) {
    assert.match(adviceOn(config, { ...WAITING, ...change }, { ...MACHINE, freeBytes }), wanted);
  }
});

Deno.test("advice comes once, when it is clear, and not while a frame cache is being filled", () => {
  let now = 0;
  const options = { clips: 100, now: () => now, cpu: () => 3 * now };
  const run = (wait: DataWait, steps: number, waitMs: number) => {
    wait.begin();
    const told = [];
    for (let step = 0; step < steps; step++) {
      now += 1000;
      wait.add(waitMs, 2 ** 20);
      told.push(wait.advice(() => MACHINE));
    }
    return told.filter((text) => text !== null).length;
  };
  const config = recipe("workers: 2");
  assert.equal(run(new DataWait(config, { ...options, cache: null }), 60, 100), 0); // 10 %
  assert.equal(run(new DataWait(config, { ...options, cache: null }), 19, 900), 0); // too soon
  const wait = new DataWait(config, { ...options, cache: null });
  assert.equal(run(wait, 60, 900), 1);
  assert.equal(run(wait, 60, 900), 0);
  const cache = { clips: 10, isFull: false };
  const filling = new DataWait(config, { ...options, cache: cache as never });
  assert.equal(run(filling, 60, 900), 0);
  cache.clips = 100;
  assert.equal(run(filling, 60, 900), 1);
});
