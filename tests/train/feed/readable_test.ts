/** Lists of which nothing can be read are an error before the run; single broken clips are not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../../lib/errors.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { requireReadable } from "../../../train/feed/readable.ts";
import { writeFrames } from "../../_util/frame_folders.ts";

const clips = Array.from({ length: 40 }, (_, i) => ({ path: `clip ${i}`, frames: 8, label: 0, line: i + 1 }));

async function inSet(body: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const { path } of clips) await Deno.mkdir(join(root, path));
    await body(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function configOf(...overrides: string[]) {
  return (await parseConfig("", { source: "test", overrides: ["data.num_classes=2", ...overrides] })).config;
}

Deno.test("requireReadable() takes a list of which one clip can be read, and an empty one", () =>
  inSet(async (root) => {
    await writeFrames(join(root, clips[6].path), { frames: 8, shade: 3 });
    const config = await configOf();
    await requireReadable(config, clips, { list: "a.txt", root });
    await requireReadable(config, [], { list: "a.txt", root: join(root, "nowhere") });
  }));

Deno.test("requireReadable() names the root that is no folder", () =>
  inSet(async (root) => {
    const config = await configOf();
    await assert.rejects(
      requireReadable(config, clips, { list: "a.txt", root: join(root, "nowhere") }),
      (error) =>
        error instanceof DataError &&
        /^Cannot read the clips of "a\.txt": their root must be a folder, current value is ".*nowhere"$/.test(
          error.message,
        ),
    );
  }));

Deno.test("requireReadable() refuses frames of another name, with the first reason", () =>
  inSet(async (root) => {
    for (const { path } of clips) await writeFrames(join(root, path), { frames: 1, shade: 3 });
    const config = await configOf("data.image_tmpl=img_{:05d}.jpg");
    await assert.rejects(
      requireReadable(config, clips, { list: "a.txt", root }),
      (error) =>
        error instanceof DataError &&
        /one or more of 20 tried must be readable, current count is 0; clip 0: none of its \d+ files is named like "img_/
          .test(error.message),
    );
  }));

Deno.test("requireReadable() refuses pictures that are no JPEG", () =>
  inSet(async (root) => {
    for (const { path } of clips) await Deno.writeTextFile(join(root, path, "00001.jpg"), "\x89PNG\r\n");
    const config = await configOf();
    await assert.rejects(
      requireReadable(config, clips, { list: "a.txt", root }),
      (error) => error instanceof DataError && /current count is 0; clip 0: /.test(error.message),
    );
  }));

Deno.test("requireReadable() stops when it is told to", () =>
  inSet(async (root) => {
    const config = await configOf();
    const signal = AbortSignal.abort(new Error("enough"));
    await assert.rejects(requireReadable(config, clips, { list: "a.txt", root, signal }), /^Error: enough$/);
  }));
