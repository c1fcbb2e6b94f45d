import assert from "node:assert/strict";
import { join } from "node:path";
import { lockFolder, tryLockFolder, waitForFolder } from "../../data/folder_lock.ts";
import { DataError } from "../../lib/errors.ts";
import { inTempFolder } from "../_util/frame_folders.ts";

const names = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();

Deno.test("a locked folder is refused with its holder's name, and free again when the lock is disposed", () =>
  inTempFolder(async (root) => {
    const folder = join(root, "out");
    await Deno.mkdir(folder);
    {
      using lock = await lockFolder(folder, "extract");
      assert.equal(lock.warning, null);
      await assert.rejects(lockFolder(folder, "extract"), (error: Error) => {
        assert.ok(error instanceof DataError);
        assert.match(
          error.message,
          new RegExp(
            `^Cannot write to ".*out": process ${Deno.pid} on \\S+ is writing to it \\(extract, since ` +
              `\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ\\); wait until it is done, end it, or use another folder$`,
          ),
        );
        return true;
      });
    }
    assert.deepEqual(await names(folder), []);
    using _again = await lockFolder(folder, "prepare");
    assert.equal((await tryLockFolder(folder, "x")).refusal?.held, true);
  }));

Deno.test("folders made for a lock go with it when nothing came into them, and those that were there stay", () =>
  inTempFolder(async (root) => {
    const folder = join(root, "a", "b", "c");
    (await lockFolder(folder, "x"))[Symbol.dispose]();
    assert.deepEqual(await names(root), []);
    await Deno.mkdir(join(root, "a"));
    (await lockFolder(folder, "x"))[Symbol.dispose]();
    assert.deepEqual(await names(join(root, "a")), []);
    {
      using _lock = await lockFolder(folder, "x");
      await Deno.writeTextFile(join(folder, "result"), "");
    }
    assert.deepEqual(await names(folder), ["result"]);
  }));

Deno.test("of many that want a folder at the same time one after the other has it", () =>
  inTempFolder(async (root) => {
    let inside = 0, most = 0, turns = 0;
    const work = async () => {
      const { lock } = await waitForFolder(root, "x");
      using _ = lock;
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside--;
      turns++;
    };
    await Promise.all(Array.from({ length: 6 }, work));
    assert.deepEqual([most, turns], [1, 6]);
    assert.deepEqual(await names(root), []);
  }));

Deno.test("a lock ends with its holder, however that dies, and an old file of it means nothing", () =>
  inTempFolder(async (root) => {
    const module = new URL("../../data/folder_lock.ts", import.meta.url).href;
    const code = `import { lockFolder } from "${module}";
      await lockFolder(Deno.args[0], "hold"); console.log("held"); setTimeout(() => {}, 60_000);`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `data:application/typescript,${encodeURIComponent(code)}`, root],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    const { refusal } = await tryLockFolder(root, "x");
    assert.match(refusal!.reason, new RegExp(`^process ${child.pid} .*\\(hold, since `));
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    assert.deepEqual(await names(root), ["lock"]);
    (await lockFolder(root, "x"))[Symbol.dispose]();
    assert.deepEqual(await names(root), []);
  }));

Deno.test("waiting for a folder tells once who holds it, and stops when it is interrupted", () =>
  inTempFolder(async (root) => {
    using _lock = await lockFolder(root, "hold");
    const stop = new AbortController(), told: string[] = [];
    const waiting = waitForFolder(root, "x", {
      signal: stop.signal,
      onWait(holder) {
        told.push(holder);
        stop.abort();
      },
    });
    await assert.rejects(waiting, /^InterruptedError: /);
    assert.equal(told.length, 1);
  }));
