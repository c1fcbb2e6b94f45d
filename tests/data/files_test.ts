import assert from "node:assert/strict";
import { join } from "node:path";
import {
  fileRange,
  namesIn,
  reading,
  requireWritableFolder,
  textOfFile,
  toldError,
  writeFileWhole,
  writing,
} from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name)).sort();
}

Deno.test("writeFileWhole() writes text, bytes and chunks, makes folders, and leaves no temporary file", () =>
  inFolder(async (folder) => {
    const path = join(folder, "deep", "er", "x.bin");
    await writeFileWhole(path, "old");
    assert.equal(await Deno.readTextFile(path), "old");
    await writeFileWhole(path, [new Uint8Array([1, 2]), new Uint8Array([3])]);
    assert.deepEqual(await Deno.readFile(path), new Uint8Array([1, 2, 3]));
    assert.deepEqual(await names(join(folder, "deep", "er")), ["x.bin"]);
  }));

Deno.test({
  name:
    "writeFileWhole() that the system cuts short keeps the previous file, removes the temporary one and says so",
  ignore: Deno.build.os === "windows", // no ulimit
  fn: () =>
    inFolder(async (folder) => {
      const path = join(folder, "last.safetensors");
      await writeFileWhole(path, "previous");
      const module = new URL("../../data/files.ts", import.meta.url).href;
      const code = `import { writeFileWhole } from "${module}";
        await writeFileWhole(Deno.args[0], new Uint8Array(1 << 20)).catch((e) => console.log(e.name, e.exitCode, e.message));`;
      const { stdout } = await new Deno.Command("sh", {
        // A signal comes with the error, and ends a process that does not ignore it.
        args: ["-c", `trap '' XFSZ; ulimit -f 64; exec "$@"`, "sh", Deno.execPath(), "eval", code, path],
      }).output();
      assert.equal(
        new TextDecoder().decode(stdout),
        `DataError 4 Cannot write "${path}": the file would be larger than the system allows (ulimit -f); ` +
          "a previous file of this name is unchanged; raise the limit and try again\n",
      );
      assert.equal(await Deno.readTextFile(path), "previous");
      assert.deepEqual(await names(folder), ["last.safetensors"]);
    }),
});

Deno.test({
  name: "writing() turns what the system says into one line with path, cause and what to do",
  ignore: Deno.build.os !== "linux", // /dev/full, where every write fails for want of space, is Linux's
  fn: async () => {
    const message =
      'Cannot write "/dev/full": the disk is full; make room (bytes, and places for files) and try again';
    const write = () => Deno.writeFileSync("/dev/full", new Uint8Array(1));
    await assert.rejects(writing("/dev/full", write), new DataError(message));
    await assert.rejects(writing("x", () => Promise.reject(new RangeError("own"))), new RangeError("own"));
    await assert.rejects(
      writing("/proc/none/x", () => Deno.mkdir("/proc/none/x", { recursive: true })),
      /^DataError: Cannot write "\/proc\/none\/x": it does not exist; choose another folder$/,
    );
  },
});

Deno.test("several writers of one file leave one whole file of one of them, and nothing else", () =>
  inFolder(async (folder) => {
    const path = join(folder, "x.bin"),
      contents = [1, 2, 3, 4].map((value) => new Uint8Array(1e5).fill(value));
    await Promise.all(contents.map((content) => writeFileWhole(path, content)));
    const written = await Deno.readFile(path);
    assert.ok(contents.some((content) => content.every((value, i) => value === written[i])));
    assert.deepEqual(await names(folder), ["x.bin"]);
  }));

Deno.test("an error while the chunks are produced keeps the previous file and is passed on", () =>
  inFolder(async (folder) => {
    const path = join(folder, "x.bin");
    await writeFileWhole(path, "previous");
    function* chunks() {
      yield new Uint8Array(10);
      throw new RangeError("no more");
    }
    await assert.rejects(writeFileWhole(path, chunks()), /^RangeError: no more$/);
    assert.equal(await Deno.readTextFile(path), "previous");
    assert.deepEqual(await names(folder), ["x.bin"]);
  }));

Deno.test("fileRange() reads ranges in any order and at the same time, and says when a file ends early", () =>
  inFolder(async (folder) => {
    const path = join(folder, "x.bin");
    await writeFileWhole(path, Uint8Array.from({ length: 100 }, (_, i) => i));
    await using range = await fileRange(path);
    assert.equal(range.sizeBytes, 100);
    const parts = await Promise.all([range.read(90, 3), range.read(0, 2), range.read(50, 1)]);
    assert.deepEqual(parts.map((part) => [...part]), [[90, 91, 92], [0, 1], [50]]);
    await assert.rejects(range.read(98, 5), /must have 103 bytes, it ended at 100/);
    await assert.rejects(fileRange(join(folder, "none")), /none": it does not exist/);
    await assert.rejects(fileRange(folder), /it must be a file/);
  }));

Deno.test("requireWritableFolder() makes nothing, and refuses a file in the folder's place", () =>
  inFolder(async (folder) => {
    await requireWritableFolder(folder);
    await requireWritableFolder(join(folder, "to", "come"));
    assert.deepEqual(await names(folder), []);
    await Deno.writeTextFile(join(folder, "file"), "");
    for (const path of [join(folder, "file"), join(folder, "file", "deeper")]) {
      await assert.rejects(requireWritableFolder(path), (error: Error) => {
        assert(error instanceof DataError);
        assert.match(error.message, /^Cannot write to ".*": (it must be a folder|a part of the path is no)/);
        return true;
      });
    }
  }));

Deno.test({
  name: "requireWritableFolder() refuses a folder in which no file can be made",
  ignore: Deno.build.os !== "linux", // /proc is Linux's, and nobody can make a file there
  fn: () =>
    assert.rejects(
      requireWritableFolder("/proc/self/results"),
      /^DataError: Cannot write to "\/proc\/self\/results": .*; choose another/,
    ),
});

Deno.test("a read that fails is one line with path, cause and what to do", () =>
  inFolder(async (folder) => {
    const refused = (message: string) => new DataError(message);
    const isFolder = `"${folder}": it is a folder; put the file in its place`;
    await assert.rejects(textOfFile(folder), refused(`Cannot read ${isFolder}`));
    await assert.rejects(
      reading(folder, () => Deno.readTextFile(folder)),
      refused(`Cannot read ${isFolder}`),
    );
    const none = join(folder, "none");
    await assert.rejects(namesIn(none), refused(`Cannot read "${none}": it does not exist`));
    // What nothing has told yet.
    for (const read of [() => Deno.readTextFile(folder), () => Deno.stat(none), () => namesIn(none)]) {
      const message = toldError(await read().then(() => null, (error) => error));
      assert(message instanceof DataError);
      assert.match(
        message.message,
        /^Cannot (use|read) "[^"]+": it (is a folder; put the file|does not exist)/,
      );
    }
    const own = new RangeError("step 'x'");
    assert.equal(toldError(own), own);
  }));

Deno.test("what Deno keeps programs out of is told as such, with advice that can be followed", async () => {
  const kept = (path: string) =>
    new Deno.errors.NotCapable(`Requires all access to "${path}", run again with the --allow-all flag`);
  const reason = "this tool has no access to the system's own files; choose another folder";
  const fail = () => Promise.reject(kept("/proc/x"));
  await assert.rejects(writing("/proc/x", fail), new DataError(`Cannot write "/proc/x": ${reason}`));
  await assert.rejects(reading("/proc/x", fail), new DataError(`Cannot read "/proc/x": ${reason}`));
  const told = toldError(kept("/proc/x"));
  assert(told instanceof DataError);
  assert.equal(told.message, `Cannot use "/proc/x": ${reason}`);
});
