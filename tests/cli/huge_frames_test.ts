/** Clips of frames that are far too large, in a run: named, replaced or counted black, and of no influence on the run's memory. */
import assert from "node:assert/strict";
import { encodeJpeg } from "../../data/frames/jpeg.ts";
import type { EvaluationFigures } from "../../train/evaluation/evaluation_files.ts";
import type { Summary } from "../../train/files/run_folder.ts";
import type { DataProblem } from "../../train/feed/problems.ts";
import { gpuTest } from "../_util/gpu.ts";
import { statedJpeg } from "../_util/huge_pictures.ts";
import { TinyFolder } from "./_tiny.ts";

gpuTest(
  "clips of huge frames are broken ones wherever they stand, and decide nothing of a run's buffers",
  async () => {
    await using folder = await TinyFolder.create();
    const fill = async (clip: string, bytes: Uint8Array) => {
      for (let frame = 1; frame <= 8; frame++) await folder.write(`data/${clip}/0000${frame}.jpg`, bytes);
    };
    const run = async (name: string) => {
      const sets = [`name=${name}`, "solver.max_steps=8", "data.resize=kinetics"];
      const { code, stderr } = await folder.sidenet(["train", "tiny.yaml", ...sets]);
      assert.equal(code, 0, stderr);
      return await folder.json<Summary & { broken: DataProblem[] }>("runs", name, "summary.json");
    };
    const { gpu_bytes_allocated: usual } = await run("usual");
    await fill("train/00003", await statedJpeg(16_000, 16_000));
    const rgb = new Uint8Array(16_000 * 4 * 3); // of few pixels, but far wider after the resize
    await fill("train/00005", await encodeJpeg({ width: 16_000, height: 4, rgb }, { quality: 50 }));
    await fill("val/00002", await statedJpeg(60_000, 60_000));
    const { gpu_bytes_allocated: allocated, broken } = await run("huge");
    assert.equal(allocated, usual);
    const reasons = new Map(broken.map(({ path, problem }) => [path, problem]));
    assert.deepEqual([...reasons.keys()].sort(), ["train/00003", "train/00005", "val/00002"]);
    assert.match(
      reasons.get("train/00003")!,
      /16000x16000 is more than 67,108,864 pixels.*of its class is used instead/,
    );
    assert.match(
      reasons.get("train/00005")!,
      /its frames of 16000x4, resized to 64000x16, are larger than the adapter can take.*of its class/,
    );
    assert.match(reasons.get("val/00002")!, /60000x60000.*black/);
    // The first path decides nothing either, nor does the only one.
    const huge = "data/train/00005", small = "data/val/00001";
    for (const paths of [[huge], [huge, small]]) {
      const { code, stdout, stderr } = await folder.sidenet(["predict", "runs/huge", ...paths]);
      assert.equal(code, 4, stderr);
      assert.match(stderr, /Cannot predict "data\/train\/00005": .*are larger than the adapter can take/);
      assert.equal(stdout.includes(small), paths.includes(small));
    }
    const large = { width: 5000, height: 3500 }; // of a size that the adapter takes once it is shrunk
    const grey = new Uint8Array(large.width * large.height * 3).fill(128);
    await fill("val/00003", await encodeJpeg({ ...large, rgb: grey }, { quality: 50 }));
    const { code, stderr } = await folder.sidenet(["eval", "runs/huge"]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^(warning: )?frames larger than the adapter can take .* are shrunk .*5000x3500$/m);
    const figures = await folder.json<EvaluationFigures>("runs", "huge", "eval", "eval.json");
    assert.deepEqual([figures.clips, figures.broken.map(({ path }) => path)], [8, ["val/00002"]]);
  },
);
