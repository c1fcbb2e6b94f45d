/** A folder of clips and nothing else: which recipe is picked, what is fetched, what is refused; and every verb that takes folders. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFrames } from "../_util/frame_folders.ts";
import { gpuTest } from "../_util/gpu.ts";
import { hasFfmpeg, writeVideo } from "../_util/video_files.ts";
import { lastLine, TinyFolder } from "./_tiny.ts";

const FRAMES = 9, SIDE = 64;
/** One block in place of the small network's three. */
const SMALLER = [
  "network.backbone={ image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 1 }",
  "data.num_segments=4",
  "data.workers=1",
];

/** Clips of classes: every second one a video where there is ffmpeg. */
async function writeClips(folder: TinyFolder, root: string, classes: readonly string[]): Promise<void> {
  for (const [k, name] of classes.entries()) {
    for (let i = 0; i < 4; i++) {
      const path = folder.file(root, name, `clip ${i}`);
      if (i % 2 === 1 && hasFfmpeg) {
        await mkdir(dirname(path), { recursive: true });
        const pixel = (frame: number) => [50 * i, 100 * k, 20 * frame] as const;
        await writeVideo(`${path}.mp4`, { frames: FRAMES, width: SIDE, height: SIDE, pixel });
      } else await writeFrames(path, { frames: FRAMES, shade: 50 * i + k, width: SIDE, height: SIDE });
    }
  }
}

/** What keeps a command from this machine's own weights, and from the network. */
function without(folder: TinyFolder): Record<string, string> {
  return { SIDENET_CACHE: folder.file("cache"), SIDENET_WEIGHTS: "", HTTPS_PROXY: "http://127.0.0.1:9" };
}

async function hasRuns(folder: TinyFolder): Promise<boolean> {
  return await Deno.stat(folder.file("runs")).then(() => true, () => false);
}

gpuTest("train FOLDER --tiny, then eval on other clips, check, inspect and plan of the run", async () => {
  await using folder = await TinyFolder.create();
  await writeClips(folder, "mine", ["turn left", "wave"]);
  await writeClips(folder, "others", ["jump", "turn left", "wave"]);
  const env = without(folder);
  const once = [...SMALLER, "solver.max_steps=1", "solver.epochs=3", "logging.example_clips=1"];
  const trained = await folder.sidenet(["train", "mine", "--tiny", ...once], { env });
  assert.equal(trained.code, 0, trained.stderr);
  for (
    const line of [
      /^recipe: Side4Video on a small ViT, RANDOM WEIGHTS, 4 frames a clip \(configs\/own_videos_tiny\.yaml\)$/m,
      /^mine: 2 classes, 6 clips for training and 2 for validation$/m,
      /^warning: data\.flip is none: a mirrored clip of "turn left" would show another class/m,
      /^warning: the frozen backbone has random weights, .*accuracy will be that of a toy/m,
      /^data\.batch_size is 4 for 6 training clips: the plan takes [\d.]+ MiB of GPU memory/m,
      /^run folder: runs\/mine$/m,
    ]
  ) assert.match(trained.stderr, line);
  assert.ok((await Deno.stat(folder.file("runs/mine/report.html"))).size > 0);

  const evaluated = await folder.sidenet(["eval", "runs/mine", "others", "--json"], { env });
  assert.equal(evaluated.code, 0, evaluated.stderr);
  const figures = JSON.parse(evaluated.stdout);
  assert.deepEqual([figures.clips, figures.list, figures.broken], [8, "others", []]);
  assert.match(evaluated.stderr, /the model has no such classes, their clips are left out: jump$/m);
  assert.ok(await Deno.stat(folder.file("runs/mine/eval_others/report.html")));
  const none = await folder.sidenet(["eval", "runs/mine", "runs"], { env });
  assert.deepEqual([none.code, lastLine(none)], [
    4,
    'sidenet: Cannot evaluate on "runs": it must hold clips in folders named like the model\'s classes ("turn left", "wave"), it has none',
  ]);

  const checked = await folder.sidenet(["check", "runs/mine", "--json"], { env });
  const lists = checked.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([checked.code, ...lists.map(({ clips }) => clips)], [0, 6, 2]);
  const inspected = await folder.sidenet(["inspect", "runs/mine", "--json"], { env });
  assert.match(JSON.parse(inspected.stdout).path, /^runs\/mine\/best\.safetensors$/);
  const asked = await folder.sidenet(["plan", "mine", "--tiny", ...once], { env });
  assert.match(asked.stdout, /^side4video on custom, 4 clips of 4 frames, /, "the batch that a run takes");
  const planned = await folder.sidenet(["plan", "runs/mine", "--json"], { env });
  assert.equal(planned.code, 0, planned.stderr);
  assert.ok(JSON.parse(planned.stdout).gpu_bytes > 0);
});

gpuTest(
  "train FOLDER without a network says so, and a small one stands in; what was asked for by name is an error",
  async () => {
    await using folder = await TinyFolder.create();
    await writeClips(folder, "mine", ["jump", "wave"]);
    const env = without(folder);
    const asked = await folder.sidenet(["train", "mine", "network.arch=ViT-L/14"], { env });
    assert.equal(asked.code, 4);
    assert.match(
      lastLine(asked),
      /^sidenet: Cannot find the weights "ViT-L-14": they cannot be fetched, the server cannot be reached \(Connection refused\); put ViT-L-14\.pt from https:\/\/openaipublic\S+ into ".*cache\/weights"$/,
    );
    const recipe = await folder.sidenet(["train", "tiny.yaml", "network.weights=ViT-B-16", "--offline"], {
      env,
    });
    assert.equal(recipe.code, 4);
    assert.match(
      lastLine(recipe),
      /^sidenet: Cannot find the weights "ViT-B-16": --offline fetches nothing; put /,
    );
    assert.equal(await hasRuns(folder), false);

    const keys = ["solver.max_steps=1", "solver.epochs=3", "logging.example_clips=0"];
    const { code, stderr } = await folder.sidenet(["train", "mine", "--offline", ...keys], { env });
    assert.equal(code, 0, stderr);
    const said = stderr.split("\n");
    assert.match(said[0], /^recipe: Side4Video on ViT-B\/16, weights ViT-B-16, /);
    assert.match(
      said[1],
      /^warning: Cannot find the weights "ViT-B-16": --offline fetches nothing; put ViT-B-16\.pt /,
    );
    assert.match(said[2], /^warning: A SMALL RANDOM NETWORK STANDS IN/);
    assert.match(stderr, /^report|^evaluation after/m);
  },
);

Deno.test("a recipe and a folder that do not fit together are told with the keys to change, before anything is made", async () => {
  await using folder = await TinyFolder.create();
  await writeClips(folder, "mine", ["jump", "wave"]);
  const { code, stderr, stdout } = await folder.sidenet(["train", "tiny.yaml", "mine", "data.crop=none"]);
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(
    stderr.trimEnd().split("\n").at(-1)!,
    /^sidenet: Cannot use the clips under ".*mine": .* its frames of 64x64 must be 16x16 for data\.crop=none: change data\.resize or data\.crop, such as data\.resize=short data\.crop=random_resized$/,
  );
  assert.equal(await hasRuns(folder), false);
});

gpuTest("what synth wrote can be trained on, with a recipe and without", async () => {
  await using folder = await TinyFolder.create();
  const made = await folder.sidenet([
    "synth",
    "made",
    "--train-clips",
    "8",
    "--val-clips",
    "4",
    "--motion",
    "left",
    "--motion",
    "right",
  ]);
  assert.equal(made.code, 0, made.stderr);
  const keys = ["solver.max_steps=1", "solver.epochs=3", "logging.example_clips=0"];
  const own = await folder.sidenet(["train", "made", ...keys]);
  assert.equal(own.code, 0, own.stderr);
  assert.match(own.stderr, /^the set is synthetic: a small network is enough for it$/m);
  const config = await Deno.readTextFile(folder.file("runs/made/config.yaml"));
  assert.match(config, /^ {2}flip: none$/m);
  assert.match(config, /^ {2}num_classes: 2$/m);
  const given = await folder.sidenet(["train", "tiny.yaml", "made", ...keys]);
  assert.equal(given.code, 0, given.stderr);

  const captioned = await folder.sidenet([
    "synth",
    "said",
    "--kind",
    "captioned_clips",
    "--train-clips",
    "4",
    "--val-clips",
    "2",
  ]);
  assert.equal(captioned.code, 0, captioned.stderr);
  for (const args of [["said"], ["tiny.yaml", "said"]]) {
    const refused = await folder.sidenet(["train", ...args]);
    assert.equal(refused.code, 2);
    assert.match(lastLine(refused), /its clips have captions, so a recipe for retrieval must come with it/);
  }
});

gpuTest("extract FOLDER keeps its lists beside the features, and train FOLDER reads them", async () => {
  await using folder = await TinyFolder.create();
  await writeClips(folder, "mine", ["jump", "wave"]);
  const still = [...SMALLER, "data.random_shift=false", "data.crop=centre", "data.flip=none"],
    env = without(folder);
  const extracted = await folder.sidenet(["extract", "mine", "--tiny", "--out", "features", ...still], {
    env,
  });
  assert.equal(extracted.code, 0, extracted.stderr);
  assert.equal((await Deno.readTextFile(folder.file("features/train.txt"))).trimEnd().split("\n").length, 6);
  const keys = ["data.features=features", "solver.max_steps=1", "solver.epochs=3", "logging.example_clips=0"];
  const trained = await folder.sidenet(["train", "mine", "--tiny", ...still, ...keys], { env });
  assert.equal(trained.code, 0, trained.stderr);
});

Deno.test("plan and check take a folder, --tiny takes no recipe, and slips are one line", async () => {
  await using folder = await TinyFolder.create();
  await writeClips(folder, "mine", ["jump", "wave"]);
  const planned = await folder.sidenet(["plan", "mine", "--json"]);
  assert.equal(planned.code, 0, planned.stderr);
  assert.ok(JSON.parse(planned.stdout).frozen_parameters > 80e6);
  await folder.write("mine/wave/notes.txt", "no clip");
  const checked = await folder.sidenet(["check", "mine", "--json"]);
  const { clips, unusable } = JSON.parse(checked.stdout);
  assert.deepEqual([checked.code, clips, unusable.length], [4, 8, 1]);
  for (
    const [args, code, line] of [
      [
        ["train", "tiny.yaml", "mine", "--tiny"],
        2,
        /^sidenet: Cannot use --tiny: it picks the recipe for a folder of clips/,
      ],
      [["train", "--tiny"], 2, /^sidenet: Cannot use --tiny: /],
      [["plan"], 2, /^sidenet: Cannot run "sidenet plan": expected CONFIG\|FOLDER\|RUN \[key=value …\]/],
      [["plan", "nowhere"], 2, /^sidenet: Cannot plan "nowhere": .* there is no such file or folder$/],
      [["check", "mine", "--root", "x"], 2, /^sidenet: Cannot check "mine": --root must be left out/],
      [
        ["train", "mine", "network.weights=ViT-B16"],
        4,
        /^sidenet: Cannot find the weights "ViT-B16": it must be a file or one of ViT-B-32, /,
      ],
    ] as const
  ) {
    const outcome = await folder.sidenet([...args], { env: without(folder) });
    assert.deepEqual([outcome.code, outcome.stdout], [code, ""], outcome.stderr);
    assert.match(lastLine(outcome), line);
  }
  assert.equal(await hasRuns(folder), false);
});
