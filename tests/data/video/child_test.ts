import assert from "node:assert/strict";
import { runChild } from "../../../data/video/_child.ts";

/** Runs a line of shell and collects what it writes. */
async function shell(line: string, take?: (chunk: Uint8Array) => boolean | Promise<boolean>) {
  let text = "";
  const end = await runChild("sh", ["-c", line], {
    timeoutMs: 20_000,
    onOutput: take ?? ((chunk) => {
      text += new TextDecoder().decode(chunk);
      return true;
    }),
  });
  return { ...end, text };
}

Deno.test("a child is in no group with us: Ctrl-C in the terminal does not reach it", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  const { text } = await shell("cat /proc/self/stat");
  const own = (await Deno.readTextFile("/proc/self/stat")).split(" ")[4];
  assert.match(text, /^\d+ \(cat\) /);
  assert.notEqual(text.split(" ")[4], own);
});

Deno.test("nothing more is read until the last part was dealt with", async () => {
  let busy = false, bytes = 0;
  const { code } = await shell("head -c 400000 /dev/zero", async (chunk) => {
    assert.equal(busy, false);
    busy = true;
    await new Promise((resolve) => setTimeout(resolve, 2));
    busy = false;
    bytes += chunk.length;
    return true;
  });
  assert.deepEqual([code, bytes], [0, 400_000]);
});

Deno.test("an error, or an answer that asks for no more, ends the child", async () => {
  const failing = shell("yes", () => Promise.reject(new Error("the disk is full")));
  await assert.rejects(failing, /^Error: the disk is full$/);
  for (const answer of [false, Promise.resolve(false)]) {
    const { code, stopped, timedOut } = await shell("yes", () => answer);
    assert.deepEqual([code, stopped, timedOut], [null, false, false]);
  }
});

Deno.test("a child that somebody else stops is told from one that fails", async () => {
  for (const line of ["kill -INT $$", "kill -KILL $$", "exit 255"]) {
    assert.equal((await shell(line)).stopped, true, line);
  }
  for (const line of ["exit 0", "exit 1", "kill -SEGV $$"]) {
    assert.equal((await shell(line)).stopped, false, line);
  }
});
