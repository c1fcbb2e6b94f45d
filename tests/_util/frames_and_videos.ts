/**
 * The same clips as folders of frames and as H.264 videos, from the making of the set to the test protocol: a model is
 * trained on each, and the one that was trained on frames must see in a video what it sees in its frames.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import type { EvaluationFigures } from "../../train/evaluation/evaluation_files.ts";
import { readMetrics } from "../../train/files/run_folder.ts";
import { TinyFolder } from "../cli/_tiny.ts";
import { ffmpeg } from "./video_files.ts";

/** Encodes every clip of a list of frame folders, and writes the list of the videos. Their frames keep their numbers. */
export async function encodeList(
  folder: TinyFolder,
  split: "train" | "val",
  encoding: readonly string[] = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p"],
): Promise<void> {
  const clips = (await readFile(folder.file("data", `${split}.txt`), "utf8")).trimEnd().split("\n").map((
    line,
  ) => line.split(" "));
  await Deno.mkdir(folder.file("videos", split), { recursive: true });
  await ffmpeg([
    ...clips.flatMap(([path]) => ["-framerate", "12", "-i", folder.file("data", path, "%05d.jpg")]),
    ...clips.flatMap(([path], i) => ["-map", `${i}:v`, ...encoding, folder.file("videos", `${path}.mp4`)]),
  ]);
  await folder.write(
    `videos/${split}.txt`,
    clips.map(([path, , label]) => `${path}.mp4 ${label}\n`).join(""),
  );
}

/** Keys that replace the folders of frames of a recipe by the videos made of them. */
export function videoKeys(classes: number): string[] {
  return [
    ...[
      "train_list=videos/train.txt",
      "val_list=videos/val.txt",
      "root=videos",
      "modality=video",
      "synth=null",
    ],
    `num_classes=${classes}`,
  ].map((key) => `data.${key}`);
}

/** What was found. */
export interface Comparison {
  /** Probability of each class, frames against video: the largest and the mean difference. */
  largest: number;
  mean: number;
  /** Mean difference between clips, for comparison. */
  betweenClips: number;
  /** Share of clips with the same best class. */
  sameTop1: number;
}

/**
 * Trains on frames and on videos, tests both with three crops and two clips, then tests the model of the frames on the
 * videos.
 *
 * @param recipe YAML with `data.synth`, the root `data` and four classes
 * @param steps optimiser steps of each run
 */
export async function compareFramesAndVideos(recipe: string, steps: number): Promise<Comparison> {
  await using folder = await TinyFolder.create();
  await folder.write("sth.yaml", recipe);
  const run = async (...args: string[]) => {
    const outcome = await folder.sidenet(args);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.doesNotMatch(outcome.stderr, /: (frame \d+|clip): /, "a clip is named as broken");
    return outcome;
  };
  const videos = videoKeys(4);
  await run("train", "sth.yaml", "name=frames");
  for (const split of ["train", "val"] as const) await encodeList(folder, split);
  await run("train", "sth.yaml", "name=videos", ...videos);
  for (const name of ["frames", "videos"]) {
    const { steps: records } = await readMetrics(folder.file("runs", name));
    assert.equal(records.at(-1)?.step, steps);
    assert.ok(records.every(({ loss }) => Number.isFinite(loss)));
  }

  const views = ["--test-crops", "3", "--test-clips", "2", "--json"];
  const evaluate = async (run_: string, out: string, ...keys: string[]) => {
    const { stdout } = await run("eval", `runs/${run_}`, "--out", out, ...views, ...keys);
    const figures: EvaluationFigures = JSON.parse(stdout);
    assert.equal(figures.views, 6);
    const [, ...lines] = (await readFile(folder.file(out, "predictions.csv"), "utf8")).trimEnd().split("\n");
    assert.equal(lines.length, figures.clips);
    return lines.map((line) => {
      const fields = line.split(","), probabilities = [0, 0, 0, 0];
      for (let k = 0; k < 4; k++) probabilities[Number(fields[5 + 3 * k])] = Number(fields[7 + 3 * k]);
      assert.ok(Math.abs(probabilities.reduce((a, b) => a + b) - 1) < 1e-5);
      return { path: fields[0].replace(/\.mp4$/, ""), best: fields[5], probabilities };
    });
  };
  await evaluate("videos", "videos_on_videos");
  const fromFrames = await evaluate("frames", "frames_on_frames");
  const fromVideos = await evaluate("frames", "frames_on_videos", ...videos);
  assert.deepEqual(fromVideos.map(({ path }) => path), fromFrames.map(({ path }) => path));
  const difference = (a: number[], b: number[]) => a.map((p, k) => Math.abs(p - b[k]));
  const differences = fromFrames.flatMap(({ probabilities }, i) =>
    difference(probabilities, fromVideos[i].probabilities)
  );
  const between = fromFrames.flatMap((one, i) =>
    fromFrames.slice(i + 1).flatMap((other) => difference(one.probabilities, other.probabilities))
  );
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return {
    largest: Math.max(...differences),
    mean: mean(differences),
    betweenClips: mean(between),
    sameTop1: mean(fromFrames.map(({ best }, i) => best === fromVideos[i].best ? 1 : 0)),
  };
}
