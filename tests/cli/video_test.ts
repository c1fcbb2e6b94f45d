/** Training on video files, and predictions from videos against those from the frames that they were made of. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readMetrics } from "../../train/files/run_folder.ts";
import { gpuTest } from "../_util/gpu.ts";
import { ffmpeg, hasFfmpeg } from "../_util/video_files.ts";
import { TinyFolder } from "./_tiny.ts";

interface Prediction {
  path: string;
  top: { index: number; p: number }[];
}

interface Timeline {
  seconds: number;
  timeline: { from: number; to: number }[];
}

const REPORTS = fileURLToPath(new URL("../fixtures/reports/", import.meta.url));

/** How far a probability may move by what H.264 changes in a frame of 20x20 pixels. */
const CODEC_NOISE = 0.02;

if (hasFfmpeg) {
  gpuTest(
    "a run on video files trains, and predicts from a video what it predicts from its frames",
    async () => {
      await using folder = await TinyFolder.create();
      const framesRun = await folder.sidenet(["train", "tiny.yaml", "solver.epochs=1"]);
      assert.equal(framesRun.code, 0, framesRun.stderr);
      // The same clips as H.264, in lists of the form "path label".
      for (const split of ["train", "val"]) {
        await mkdir(folder.file("videos", split), { recursive: true });
        const lines = (await Deno.readTextFile(folder.file("data", `${split}.txt`))).trimEnd().split("\n");
        const videoLines: string[] = [];
        for (const line of lines) {
          const [path, , label] = line.split(" ");
          const encoding = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "2", "-pix_fmt", "yuv444p"];
          await ffmpeg(
            ["-i", folder.file("data", path, "%05d.jpg"), ...encoding, folder.file("videos", `${path}.mp4`)],
          );
          videoLines.push(`${path}.mp4 ${label}`);
        }
        await folder.write(join("videos", `${split}.txt`), videoLines.join("\n"));
      }
      const keys = [
        "train_list=videos/train.txt",
        "val_list=videos/val.txt",
        "root=videos",
        "modality=video",
        "synth=null",
        "num_classes=2",
      ];
      const run = await folder.sidenet(
        ["train", "tiny.yaml", "name=videos", "solver.epochs=3", ...keys.map((key) => `data.${key}`)],
      );
      assert.equal(run.code, 0, run.stderr);
      const { steps, evals } = await readMetrics(folder.file("runs/videos"));
      assert.deepEqual([steps.length, evals.length], [12, 3]);
      assert.ok(steps.every(({ loss }) => Number.isFinite(loss)));

      const names = ["00001", "00002", "00003", "00004"];
      const paths = names.flatMap((name) => [`data/val/${name}`, `videos/val/${name}.mp4`]);
      await folder.write("broken.mp4", "no video");
      for (const model of ["runs/videos", "runs/tiny"]) {
        const predicted = await folder.sidenet(["predict", model, ...paths, "broken.mp4", "--json"]);
        assert.equal(predicted.code, 4, predicted.stderr);
        assert.match(
          predicted.stderr,
          /^sidenet: Cannot predict "broken\.mp4": it cannot be read: Invalid/m,
        );
        const found: Prediction[] = predicted.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
        assert.deepEqual(found.map(({ path }) => path), paths);
        for (let i = 0; i < found.length; i += 2) {
          for (const { index, p } of found[i].top) {
            const other = found[i + 1].top.find((one) => one.index === index)!.p;
            assert.ok(
              Math.abs(p - other) < CODEC_NOISE,
              `${paths[i]}: ${p} from frames, ${other} from video`,
            );
          }
        }
      }

      // Videos of other kinds: at uneven times, without an index, of an ending that other files have as well.
      const file = (name: string) => join(REPORTS, name);
      const [vp8, vp9] = [file("vfr_times/vfr8.webm"), file("vfr_times/vfr9.webm")];
      const others = [vp8, vp9, file("avi_without_index/noidx.avi"), file("video_extensions/cls/a/1.ts")];
      await folder.write("code.ts", "export {};\n");
      const windows = ["--window", "2", "--stride", "1", "--json"];
      const timed = await folder.sidenet(["predict", "runs/videos", ...others, "code.ts", ...windows]);
      assert.equal(timed.code, 4, timed.stderr);
      assert.match(
        timed.stderr,
        /^sidenet: Cannot predict "code\.ts": it must be a video file or a folder of frames, current value is text$/m,
      );
      const timelines: Timeline[] = timed.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
      const places = timelines.map(({ timeline }) => timeline.map(({ from, to }) => [from, to]));
      assert.deepEqual(timelines.map(({ seconds }) => seconds), [9.333, 9.333, 4, 4]);
      assert.deepEqual(places[0], places[1]);
      assert.deepEqual(places[2], [[0, 2], [1, 3], [2, 4]]);
    },
  );
} else {
  Deno.test({ name: "training on video files (ffmpeg is missing)", ignore: true, fn: () => {} });
}
