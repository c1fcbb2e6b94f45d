/** What an indexing does with the clips of a collection and the files of an index; the network is a stand-in. */
import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readFeatures } from "../../../data/search_index/features_file.ts";
import { INDEX_FILES, readIndexManifest } from "../../../data/search_index/manifest.ts";
import { ConfigError, DataError, InterruptedError } from "../../../lib/errors.ts";
import { buildIndex, type BuildIndexOptions } from "../../../train/search/build_index.ts";
import { FakeEmbedder } from "./_fake_embedder.ts";

/** A folder with clips `clips/NAME/` of one-byte frames, and an index beside them. */
class Collection implements AsyncDisposable {
  readonly embedder = new FakeEmbedder();
  private constructor(readonly folder: string) {}

  static async of(clips: Record<string, string>): Promise<Collection> {
    const made = new Collection(await Deno.makeTempDir());
    for (const [name, frames] of Object.entries(clips)) await made.write(name, frames);
    return made;
  }

  get out(): string {
    return join(this.folder, "index");
  }

  /** A clip with a frame for each letter. */
  async write(name: string, frames: string): Promise<void> {
    const folder = join(this.folder, "clips", name);
    await mkdir(folder, { recursive: true });
    for (const [i, letter] of [...frames].entries()) {
      await writeFile(join(folder, `${String(i + 1).padStart(5, "0")}.jpg`), letter === "_" ? "" : letter);
    }
  }

  async build(options: Partial<BuildIndexOptions> = {}) {
    const names = (await readdir(join(this.folder, "clips"))).sort();
    const already = this.embedder.embedded.length;
    const result = await buildIndex({
      out: this.out,
      model: { target: "run", config: null, overrides: [], identity: "one" },
      named: ["clips"],
      clips: names.map((name) => `clips/${name}`),
      startedIn: this.folder,
      windows: {},
      frames: { template: "{:05d}.jpg", firstFrame: null },
      open: () => Promise.resolve(this.embedder),
      ...options,
    });
    return {
      ...result,
      did: this.embedder.embedded.slice(already).map((path) => path.slice(this.folder.length + 7)),
    };
  }

  async contents() {
    const manifest = (await readIndexManifest(this.out))!;
    return { manifest, values: await readFeatures(this.out, manifest) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

const CLIPS = { a: "abc", b: "bcd", c: "_", d: "ddd" };

Deno.test("an index takes up what is new or changed, keeps the rest, and drops what is gone", async () => {
  await using set = await Collection.of(CLIPS);
  const first = await set.build();
  assert.deepEqual(first.did, ["a", "b", "c", "d"]);
  assert.deepEqual([first.clips, first.embedded, first.kept, first.dropped], [3, 3, 0, 0]);
  assert.deepEqual(first.unreadable, [{ path: "clips/c", reason: "its frames are empty" }]);
  const before = await set.contents();
  assert.deepEqual(before.manifest.clips.map(({ path, spans }) => [path, spans]), [
    ["clips/a", [[0, 3 / 12]]],
    ["clips/b", [[0, 3 / 12]]],
    ["clips/d", [[0, 3 / 12]]],
  ]);

  const again = await set.build();
  assert.deepEqual(again.did, []);
  assert.deepEqual(again.unreadable, first.unreadable);
  assert.deepEqual(await set.contents(), before);

  await set.write("b", "xyz"); // other content of the same length
  await rm(join(set.folder, "clips", "d"), { recursive: true });
  await set.write("e", "ee");
  const changed = await set.build();
  assert.deepEqual(changed.did, ["b", "e"]);
  assert.deepEqual([changed.clips, changed.embedded, changed.kept, changed.dropped], [3, 2, 1, 1]);
  const { manifest, values } = await set.contents();
  assert.deepEqual(manifest.clips.map(({ path }) => path), ["clips/a", "clips/b", "clips/e"]);
  assert.deepEqual(values.subarray(0, 8), before.values.subarray(0, 8));
  const whole = await set.build({ out: join(set.folder, "whole") });
  assert.equal(whole.embedded, 3);
  assert.deepEqual(
    values,
    await readFeatures(join(set.folder, "whole"), (await readIndexManifest(join(set.folder, "whole")))!),
  );
  assert.deepEqual((await readdir(set.out)).sort(), [manifest.features.file, "index.json"]);
});

Deno.test("a clip that was touched, copied or renamed is not embedded again", async () => {
  await using set = await Collection.of(CLIPS);
  await set.build();
  const at = (name: string) => join(set.folder, "clips", name);
  await utimes(join(at("a"), "00001.jpg"), new Date(), new Date());
  await rename(at("b"), at("bb"));
  await cp(at("d"), at("dd"), { recursive: true });
  const { did, dropped, clips } = await set.build();
  assert.deepEqual([did, dropped, clips], [[], 1, 4]);
  const { manifest, values } = await set.contents();
  assert.deepEqual(manifest.clips.map(({ path }) => path), ["clips/a", "clips/bb", "clips/d", "clips/dd"]);
  assert.deepEqual(values.subarray(16, 24), values.subarray(24, 32));
});

Deno.test("a clip of which other folders are named stays as long as it is there", async () => {
  await using set = await Collection.of(CLIPS);
  await set.build();
  await rm(join(set.folder, "clips", "b"), { recursive: true });
  const { did, dropped } = await set.build({
    named: ["other"],
    clips: ["other"],
    startedIn: join(set.folder, "x"),
  });
  assert.deepEqual([did, dropped], [[], 1]);
  const { manifest } = await set.contents();
  assert.deepEqual(
    manifest.clips.map(({ path }) => path),
    ["a", "d"].map((name) => join(set.folder, "clips", name)),
  );
});

Deno.test("long clips become windows; an indexing that is stopped anywhere goes on there", async () => {
  const clips = { a: "ab".repeat(12), b: "b", c: "cd".repeat(6) + "____", d: "d", e: "e" };
  const options = { windows: { window: 0.5, frames_per_second: 12 } };
  await using whole = await Collection.of(clips);
  const { rows } = await whole.build(options), expected = await whole.contents();
  const spans = expected.manifest.clips.map(({ spans }) => spans);
  assert.deepEqual(spans[0], [[0, 0.5], [0.5, 1], [1, 1.5], [1.5, 2]]);
  assert.equal(rows, 4 + 1 + spans[2].length + 1 + 1);

  for (let stop = 0; stop < whole.embedder.embedded.length; stop++) {
    for (const way of ["interrupted", "failed"]) {
      await using set = await Collection.of(clips);
      const controller = new AbortController();
      set.embedder.onClip = () => {
        if (set.embedder.embedded.length < stop) return;
        if (way === "failed") throw new Error("the device was lost"); // nothing more is written, as when it is killed
        controller.abort(new InterruptedError("Interrupted"));
      };
      await assert.rejects(
        set.build({ ...options, signal: controller.signal }),
        way === "failed" ? Error : InterruptedError,
      );
      if (way === "interrupted" && stop > 0) assert.equal((await set.contents()).manifest.complete, false);
      set.embedder.onClip = () => {};
      await set.build(options);
      const { manifest, values } = await set.contents();
      assert.deepEqual(values, expected.values);
      assert.deepEqual(
        manifest.clips.map(({ path, spans, row }) => [path, spans, row]),
        expected.manifest.clips.map(({ path, spans, row }) => [path, spans, row]),
      );
      assert.equal(set.embedder.embedded.length, whole.embedder.embedded.length, "rows are computed once");
      assert.deepEqual((await readdir(set.out)).sort(), [manifest.features.file, "index.json"]);
    }
  }
});

Deno.test("of a clip whose frames stand longer than windows are apart, every frame is a row", async () => {
  await using set = await Collection.of({ a: "abc", b: "bcdefg" });
  const { rows, did } = await set.build({ windows: { window: 1, frames_per_second: 0.5 } });
  assert.deepEqual([rows, did], [9, ["a@1", "a@2", "a@3", "b@1", "b@2", "b@3", "b@4", "b@5", "b@6"]]);
  const { manifest: { clips: [{ spans }] } } = await set.contents();
  assert.deepEqual(spans, [[0, 2], [2, 4], [4, 6]]);
  // With the windows of no flag: one frame in ten seconds.
  await using slides = await Collection.of({ a: "abcd" });
  await slides.build({ windows: { frames_per_second: 0.1 } });
  const { manifest: { clips: [talk] } } = await slides.contents();
  assert.deepEqual(talk.spans, [[0, 10], [10, 20], [20, 30], [30, 40]]);
});

Deno.test("what is broken in a clip that is embedded all the same is told, and stays in the index", async () => {
  await using set = await Collection.of({ a: "abc", b: "a?????" });
  const told: string[] = [], events = { note: (text: string) => void told.push(text) };
  const broken = [{ path: "clips/b", problems: [2, 3, 4, 5, 6].map((i) => `0000${i}.jpg: broken`) }];
  assert.deepEqual((await set.build({ events })).broken, broken);
  assert.deepEqual(told, [
    "warning: clips/b: 00002.jpg: broken",
    "warning: clips/b: 00003.jpg: broken",
    "warning: clips/b: 00004.jpg: broken",
    'warning: clips/b: and 2 more, see "problems" in the index',
  ]);
  assert.deepEqual((await set.build({ events })).broken, broken);
  assert.equal(told.length, 4);
});

Deno.test("a clip that changes while it is read is told and left out until the next time", async () => {
  await using set = await Collection.of(CLIPS);
  set.embedder.onClip = async ({ path }) => {
    if (path.endsWith("/b")) await set.write("b", "zzzz");
  };
  const { unreadable } = await set.build();
  assert.deepEqual(unreadable[0], {
    path: "clips/b",
    reason: "it was changed while it was read; index it again",
  });
  set.embedder.onClip = () => {};
  assert.deepEqual((await set.build()).did, ["b"]);
});

Deno.test("an index is of one model and one kind of windows, and of no other's folder", async () => {
  await using set = await Collection.of(CLIPS);
  await set.build();
  const other = { target: "other", config: null, overrides: [], identity: "two" };
  await assert.rejects(set.build({ model: other }), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(
      error.message,
      /^Cannot add to the index ".*": the model must be the one it was made with, "run" as it was then, current model is "other"/,
    );
    return true;
  });
  await assert.rejects(
    set.build({ windows: { window: 5 } }),
    /--window must be 8, as when it was begun, current value is 5/,
  );
  await writeFile(join(set.folder, "clips", "a", "notes.txt"), "mine");
  await assert.rejects(set.build({ out: join(set.folder, "clips", "a") }), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /must be an index or an empty folder, it holds "00001\.jpg"$/);
    return true;
  });
});

Deno.test("an index whose files were changed, cut or taken away is refused by name", async () => {
  await using set = await Collection.of(CLIPS);
  await set.build();
  const { manifest: { features: { file } } } = await set.contents();
  const sound = new Map<string, Uint8Array>();
  for (const name of [file, INDEX_FILES.manifest]) sound.set(name, await readFile(join(set.out, name)));
  const restore = async () => {
    for (const [name, bytes] of sound) await writeFile(join(set.out, name), bytes);
  };
  const json = (change: (manifest: Record<string, unknown>) => void) => {
    const manifest = JSON.parse(new TextDecoder().decode(sound.get(INDEX_FILES.manifest)));
    change(manifest);
    return JSON.stringify(manifest);
  };
  const harms: [file: string, content: string | Uint8Array | null, message: RegExp][] = [
    [file, null, /it does not exist/],
    [file, sound.get(file)!.subarray(0, 100), /it was changed after it was written/],
    [file, sound.get(file)!.with(-1, 1), /it was changed after it was written/],
    [INDEX_FILES.manifest, "{", /it must be JSON/],
    [INDEX_FILES.manifest, "null", /it must be written by sidenet index/],
    [INDEX_FILES.manifest, json((all) => all.format = "other"), /it must be written by sidenet index/],
    [INDEX_FILES.manifest, json((all) => all.clips = []), /features must have a row for each span of a clip/],
    [
      INDEX_FILES.manifest,
      json((all) => Object.assign(all.features!, { file: "../../x.safetensors" })),
      /features\.file must name a file of features beside it/,
    ],
    [
      INDEX_FILES.manifest,
      json((all) => Object.assign(all.features!, { shape: [9] })),
      /must be F32 \[3 9\], current value is F32 \[3 8\]/,
    ],
  ];
  for (const [name, content, message] of harms) {
    await restore();
    if (content === null) await rm(join(set.out, name));
    else await writeFile(join(set.out, name), content);
    // Nothing is added to it either.
    for (const use of [() => set.contents(), () => set.build()]) {
      await assert.rejects(use(), (error) => {
        assert.ok(error instanceof DataError, String(error));
        assert.match(error.message, message);
        return true;
      });
    }
  }
  await restore();
  await set.contents();
});

Deno.test("what a killed indexing left behind is used or taken away", async () => {
  await using set = await Collection.of(CLIPS);
  await set.build();
  const lines = ['{"half', "", "null", JSON.stringify({ file: "x" })];
  const journal = join(set.out, INDEX_FILES.journal);
  await writeFile(journal, lines.join("\n"));
  await writeFile(join(set.out, "features-00000000.safetensors"), "old");
  await writeFile(join(set.out, "index.json.12-0123abcd.partial"), "half");
  assert.deepEqual((await set.build()).did, []);
  const { manifest } = await set.contents();
  assert.deepEqual((await readdir(set.out)).sort(), [manifest.features.file, "index.json"]);
});
