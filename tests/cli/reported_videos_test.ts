/** Videos of the kinds that people report: what `check` and `prepare` say of them. `predict` is in `video_test.ts`. */
import assert from "node:assert/strict";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as check from "../../cli/check.ts";
import * as prepare from "../../cli/prepare.ts";
import { inTempFolder } from "../_util/frame_folders.ts";
import { runVerb } from "../_util/run_verb.ts";
import { hasFfmpeg } from "../_util/video_files.ts";

const REPORTS = fileURLToPath(new URL("../fixtures/reports/", import.meta.url));

function reportTest(name: string, work: (root: string) => Promise<void>): void {
  Deno.test({ name, ignore: !hasFfmpeg, fn: () => inTempFolder(work) });
}

reportTest("check counts the pictures of a cut video that are shown, and misses none", async () => {
  const root = join(REPORTS, "leading_pictures");
  for (const more of [[], ["--all"]]) {
    const { code, stdout } = await runVerb(check, [
      join(root, "list.txt"),
      "--root",
      root,
      ...more,
      "--json",
    ]);
    const { frames, problems } = JSON.parse(stdout);
    assert.deepEqual([code, frames, problems], [0, 30, []]);
  }
});

reportTest("prepare takes videos by what they hold, and says how many files it left out", async (root) => {
  const set = join(root, "set"), out = join(root, "lists");
  await cp(join(REPORTS, "video_extensions", "cls"), set, { recursive: true });
  const all = await runVerb(prepare, [set, "--out", out]);
  assert.match(all.stdout, /^wrote 6 train, 2 val clips \(8 videos\) of 2 classes to .*; 0 left out\n/);
  assert.equal(all.stderr, "");
  for (let i = 0; i < 25; i++) await writeFile(join(set, "a", `${i}.txt`), "words");
  for (let i = 0; i < 9; i++) await writeFile(join(set, "b", `${i}.jpg`), "");
  const some = await runVerb(prepare, [set, "--out", out]);
  assert.match(some.stdout, /^wrote 6 train, 2 val clips .*; 34 left out\n/);
  assert.match(
    some.stderr,
    /^left out: a\/0\.txt: it is neither a folder of frames nor a video file, but text$/m,
  );
  assert.match(some.stderr, /^left out: 14 more, see /m);
  const { unusable } = JSON.parse(await readFile(join(out, "report.json"), "utf8"));
  assert.equal(unusable.length, 26);
});

reportTest("prepare of a playlist under a video's name leaves it out once it is counted", async (root) => {
  await mkdir(join(root, "set", "a"), { recursive: true });
  await writeFile(join(root, "set", "a", "list.mp4"), "ffconcat version 1.0\nfile '1.ts'\n");
  await cp(join(REPORTS, "video_extensions", "cls", "a", "1.ts"), join(root, "set", "a", "1.ts"));
  const { stdout, stderr } = await runVerb(prepare, [
    join(root, "set"),
    "--out",
    join(root, "out"),
    "--count",
  ]);
  assert.match(stdout, /; 1 left out\n/);
  assert.match(stderr, /^left out: a\/list\.mp4: it is a playlist, not a video$/m);
});
