/**
 * A data set of 500 clips of which some are broken, each in a way of its own: a run on it ends well, names each of them
 * with the reason and nothing else, and gives the other clips what they get where there is no broken one. Takes half a minute.
 */
import assert from "node:assert/strict";
import { readdir, readFile, rename } from "node:fs/promises";
import { join, parse } from "node:path";
import { type ClipRecord, formatClipList } from "../../data/datasets/list.ts";
import { readClipList } from "../../data/datasets/read.ts";
import { synthesize } from "../../data/synth/dataset.ts";
import { DEFAULT_SYNTH_OPTIONS } from "../../data/synth/options.ts";
import type { EvaluationFigures } from "../../train/evaluation/evaluation_files.ts";
import type { PredictionLine } from "../../train/tasks/classification.ts";
import type { Summary } from "../../train/files/run_folder.ts";
import { type Damage, FOLDER_DAMAGES, FORBIDDEN_FOLDER, VIDEO_DAMAGES } from "../_util/broken_clips.ts";
import { gpuTest } from "../_util/gpu.ts";
import { ffmpeg, hasFfmpeg } from "../_util/video_files.ts";
import { type Outcome, TinyFolder } from "./_tiny.ts";

const CLIPS = 500, VIDEOS = 20;
/** Far beyond what a command takes: something waits for ever, and is ended so that the test can fail. */
const HANG_MS = 240_000;

interface Clip extends ClipRecord {
  damage: Damage | null;
}

/** Damages every n-th clip, and gives a good and a damaged one names that are hard to write down. */
async function damage(
  folder: TinyFolder,
  clips: readonly ClipRecord[],
  damages: readonly Damage[],
): Promise<Clip[]> {
  const damaged: Clip[] = clips.map((clip) => ({ ...clip, damage: null }));
  const stride = Math.floor(clips.length / damages.length);
  for (const [i, damage] of damages.entries()) {
    const clip = damaged[i * stride + 1];
    damaged[i * stride + 1] = { ...clip, damage, frames: damage.stated ?? clip.frames };
    await damage.make(folder.file("data", clip.path));
  }
  for (const i of [0, 6 * stride + 1]) {
    const { path } = damaged[i], { dir, base } = parse(path);
    const renamed = join(dir, `目標 "é"\n,${base}`);
    await rename(folder.file("data", path), folder.file("data", renamed));
    damaged[i] = { ...damaged[i], path: renamed };
  }
  return damaged;
}

/** Makes the set: folders of frames and, where there is ffmpeg, videos. */
async function makeSet(folder: TinyFolder): Promise<Clip[]> {
  await synthesize(folder.file("data"), {
    ...DEFAULT_SYNTH_OPTIONS,
    trainClips: CLIPS,
    valClips: 8,
    classes: ["left", "right"],
    width: 20,
    height: 20,
  });
  const { clips } = await readClipList(folder.file("data/train.txt"));
  const asVideos = hasFfmpeg ? clips.splice(-VIDEOS) : [];
  const folderDamages = Deno.uid() === 0 ? FOLDER_DAMAGES : [FORBIDDEN_FOLDER, ...FOLDER_DAMAGES];
  const folders = await damage(folder, clips, folderDamages);
  if (asVideos.length === 0) return folders;
  const encoding = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "2", "-g", "8", "-pix_fmt", "yuv444p"];
  await ffmpeg([
    ...asVideos.flatMap(({ path }) => ["-i", folder.file("data", path, "%05d.jpg")]),
    ...asVideos.flatMap(({ path }, i) => ["-map", `${i}:v`, ...encoding, folder.file("data", `${path}.mp4`)]),
  ]);
  const videos = asVideos.map((clip) => ({ ...clip, path: `${clip.path}.mp4`, frames: null }));
  return [...folders, ...await damage(folder, videos, VIDEO_DAMAGES)];
}

/** Gives back the rights that were taken, so that the folder can be removed. */
async function makeReadable(folder: TinyFolder, clips: readonly Clip[]): Promise<void> {
  for (const { path, damage } of clips) {
    if (damage === FORBIDDEN_FOLDER) await Deno.chmod(folder.file("data", path), 0o755);
  }
}

/** Runs a command that must end by itself, with exit code 0. */
async function mustEnd(folder: TinyFolder, args: readonly string[]): Promise<Outcome> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const outcome = await folder.sidenet(args, {
    onStderr: (_, child) => timer ??= setTimeout(() => child.kill("SIGKILL"), HANG_MS),
  });
  clearTimeout(timer);
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome;
}

/** Each broken clip is named with its reason and what was done, and nothing else is. */
function assertNamed(named: unknown, clips: readonly Clip[], instead: "another clip" | "black"): void {
  const expected = clips.filter(({ damage }) => damage?.problem);
  const problems = named as { path: string; problem: string }[];
  for (const { path, damage } of expected) {
    const [first] = problems.filter((problem) => problem.path === path);
    const problem = first?.problem ?? "not named";
    assert.ok(damage!.problem!.test(problem), `${damage!.name}: ${problem}`);
    assert.doesNotMatch(problem, instead === "black" ? /of its class is used/ : /black$/, damage!.name);
  }
  assert.deepEqual(
    [...new Set(problems.map(({ path }) => path))].sort(),
    expected.map(({ path }) => path).sort(),
  );
}

/** Command lines of running processes that mention a path. */
async function processesOf(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const id of await readdir("/proc")) {
    if (!/^\d+$/.test(id) || Number(id) === Deno.pid) continue;
    const command = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => ""); // it has ended meanwhile
    if (command.includes(path)) found.push(command.replaceAll("\0", " "));
  }
  return found;
}

gpuTest("among 500 clips broken ones are named, wait for nothing and change no other clip", async () => {
  if (Deno.build.os === "windows") return; // no named pipes in folders
  await using folder = await TinyFolder.create();
  const clips = await makeSet(folder);
  await using _readable = { [Symbol.asyncDispose]: () => makeReadable(folder, clips) };
  assert.equal(clips.length, CLIPS);
  assert.ok(clips.filter(({ damage }) => damage).length >= (hasFfmpeg ? 25 : 20));
  await folder.write("all.txt", formatClipList(clips));
  const good = clips.filter(({ damage }) => damage === null || damage.problem === null);
  await folder.write("good.txt", formatClipList(good));

  const keys = [
    "train_list=all.txt",
    "val_list=data/val.txt",
    "modality=either",
    "synth=null",
    "num_classes=2",
  ]
    .concat("num_segments=8", "family=sth", "batch_size=16", "workers=2").map((key) => `data.${key}`);
  await mustEnd(folder, ["train", "tiny.yaml", "solver.epochs=1", ...keys]);
  const summary = await folder.json<Summary>("runs/tiny/summary.json");
  assertNamed(summary.broken, clips, "another clip");
  assert.equal(summary.steps, Math.ceil(CLIPS / 16));

  // Every clip is scored once, and the good ones as in a list without the others.
  const evaluate = async (list: string, out: string) => {
    const { stdout } = await mustEnd(folder, ["eval", "runs/tiny", "--list", list, "--out", out, "--json"]);
    const lines = (await readFile(folder.file(out, "predictions.jsonl"), "utf8")).trimEnd().split("\n");
    const predictions: PredictionLine[] = lines.map((line) => JSON.parse(line));
    return { figures: JSON.parse(stdout) as EvaluationFigures, predictions };
  };
  const all = await evaluate("all.txt", "eval_all"), alone = await evaluate("good.txt", "eval_good");
  assert.equal(all.figures.clips, CLIPS);
  assertNamed(all.figures.broken, clips, "black");
  assert.deepEqual(alone.figures.broken, []);
  assert.deepEqual(all.predictions.map(({ path }) => path), clips.map(({ path }) => path));
  const paths = new Set(good.map(({ path }) => path));
  // To the last digit: not a pixel of them is another.
  assert.deepEqual(all.predictions.filter(({ path }) => paths.has(path)), alone.predictions);
  if (Deno.build.os === "linux") assert.deepEqual(await processesOf(folder.path), []);
});
