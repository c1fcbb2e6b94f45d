import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findClips } from "../../data/find_clips.ts";
import { parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import { inTempFolder } from "../_util/frame_folders.ts";

const template = parseFrameTemplate("{:05d}.jpg");

/** Writes empty files, with their folders. */
async function touch(root: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await mkdir(join(root, name, ".."), { recursive: true });
    await writeFile(join(root, name), "");
  }
}

Deno.test("every clip at any depth is found in code-point order, hidden names and other files are not", () =>
  inTempFolder(async (root) => {
    await touch(root, [
      "b/00001.jpg",
      "b/inside/00001.jpg", // below a folder of frames
      "a/z.MP4",
      "a/é.webm",
      "a/Z.mp4",
      "a/two words/00003.jpg",
      ".hidden/00001.jpg",
      "a/.hidden.mp4",
      "a/labels.txt",
      "a/picture.jpg",
      "list.json",
    ]);
    await mkdir(join(root, "empty"));
    const found = await findClips(root, template);
    assert.deepEqual(
      found.clips.map((path) => path.slice(root.length)),
      ["/a/Z.mp4", "/a/two words", "/a/z.MP4", "/a/é.webm", "/b"],
    );
    assert.deepEqual([found.others, found.pictures, found.unusable], [3, 1, []]);
    assert.equal(found.firstOther, join(root, "a/labels.txt"));
    assert.deepEqual((await findClips(join(root, "b"), template)).clips, [join(root, "b")]);
    assert.deepEqual((await findClips(`${root}/a/`, template)).clips[0], `${root}/a/Z.mp4`);
    assert.deepEqual((await findClips(join(root, "empty"), template)).clips, []);
  }));

Deno.test("links are followed, a folder is looked into once, and loops end", () =>
  inTempFolder(async (root) => {
    await touch(root, ["clips/one/00001.jpg", "clips/film.mp4"]);
    await symlink(root, join(root, "clips", "back"));
    await symlink(join(root, "clips"), join(root, "again"));
    await symlink(join(root, "clips", "film.mp4"), join(root, "linked.mp4"));
    await symlink("nowhere", join(root, "lost.mp4"));
    await symlink("self.mp4", join(root, "self.mp4"));
    const found = await findClips(root, template);
    assert.deepEqual(
      found.clips.map((path) => path.slice(root.length)),
      ["/again/film.mp4", "/again/one", "/linked.mp4"],
    );
    assert.deepEqual(
      found.unusable.map(({ path, reason }) => [path.slice(root.length), reason]),
      [["/lost.mp4", "it does not exist"], ["/self.mp4", "its symbolic links lead back to themselves"]],
    );
  }));

Deno.test({
  name: "a pipe named like a video is told and never opened",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (root) => {
      assert.equal(spawnSync("mkfifo", [join(root, "pipe.mp4"), join(root, "pipe.txt")]).status, 0);
      const found = await findClips(root, template); // would wait for ever, had it been opened
      assert.deepEqual(found.clips, []);
      assert.deepEqual(found.unusable, [{ path: `${root}/pipe.mp4`, reason: "it is no regular file" }]);
      assert.equal(found.others, 1);
    }),
});
