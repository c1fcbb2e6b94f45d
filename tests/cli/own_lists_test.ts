/** A set as people have it: frames that are PNG and count from 0, a CSV in UTF-16 with absolute paths, short clips; a few seconds. */
import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { readClipList } from "../../data/datasets/read.ts";
import { listFrames, parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import type { Summary } from "../../train/files/run_folder.ts";
import { gpuTest } from "../_util/gpu.ts";
import { TinyFolder } from "./_tiny.ts";

/** UTF-16 with a byte order mark, as PowerShell's `>` writes it. */
function utf16(text: string): Uint8Array {
  const units = Uint16Array.from(`\ufeff${text}`, (character) => character.charCodeAt(0));
  return new Uint8Array(units.buffer);
}

/** Turns a split's frames into PNG files that count from 0, and its list into a CSV of absolute paths in UTF-16. */
async function rewrite(folder: TinyFolder, split: "train" | "val"): Promise<void> {
  const jpeg = parseFrameTemplate("{:05d}.jpg"), png = parseFrameTemplate("img-{:d}.png");
  const { clips } = await readClipList(folder.file("data", `${split}.txt`));
  const rows: string[] = [];
  for (const { path, frames, label } of clips) {
    const old = folder.file("data", path), place = folder.file(`my ${split}, ${path.replace(/.*\//, "")}`);
    await rename(old, place);
    const { count } = await listFrames(place, jpeg);
    for (let number = 1; number <= count; number++) {
      const file = join(place, jpeg.name(number));
      await sharp(file).png().toFile(join(place, png.name(number - 1)));
      await Deno.remove(file);
    }
    rows.push(`"${place}",${frames},${label}\r\n`);
  }
  await folder.write(`${split}.csv`, utf16(rows.join("")));
}

gpuTest(
  "a set of PNG frames from 0, listed by absolute paths in UTF-16, loses no clip and no frame",
  async () => {
    await using folder = await TinyFolder.create();
    const sizes = ["--size", "20x20", "--frames", "4", "--frames", "8"];
    const made = await folder.sidenet(["synth", "data", "--train-clips", "8", "--val-clips", "8", ...sizes]);
    assert.equal(made.code, 0, made.stderr);
    await rewrite(folder, "train");
    await rewrite(folder, "val");
    const keys = [
      "data.synth=null",
      "data.num_classes=4",
      "data.label_list=null",
      "data.root=null",
      "data.train_list=train.csv",
      "data.val_list=val.csv",
      "data.image_tmpl=img-{:d}.png",
    ];
    const trained = await folder.sidenet(["train", "tiny.yaml", "solver.epochs=1", ...keys]);
    assert.equal(trained.code, 0, trained.stderr);
    assert.doesNotMatch(trained.stderr, /left out|warning/);
    const summary = await folder.json<Summary>("runs/tiny/summary.json");
    assert.deepEqual([summary.training_clips, summary.broken], [8, []]);
    const all = await folder.sidenet(["eval", "runs/tiny", "--json"]);
    assert.equal(JSON.parse(all.stdout).clips, 8, all.stderr);
    const ruled = await folder.sidenet(["eval", "runs/tiny", "--json", "data.min_frames=8"]);
    assert.equal(ruled.code, 0, ruled.stderr);
    assert.equal(JSON.parse(ruled.stdout).clips, 4);
    assert.match(
      ruled.stderr,
      /^warning: 4 of 8 clips of "val\.csv" are left out: the list states fewer than 8 frames \(data\.min_frames\)$/m,
    );
  },
);
