/** The file that unpacks itself: trains, evaluates and predicts with no network, no home and no environment. */
import assert from "node:assert/strict";
import { writeBundle } from "../../tools/bundle.ts";
import { TinyFolder } from "../cli/_tiny.ts";

const isLinux = Deno.build.os === "linux";

Deno.test(
  { name: "the bundle works offline, alone and for somebody else's files", ignore: !isLinux },
  async () => {
    await using folder = await TinyFolder.create();
    const bundle = folder.file("sidenet.run"), { bytes } = await writeBundle(bundle);
    assert.ok(bytes < 80 * 2 ** 20, `${bytes} bytes`);
    const cut = await new Deno.Command("unshare", { args: ["-rn", "true"] }).output().then(
      ({ success }) => success,
      () => false,
    );
    const start = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(cut ? "unshare" : bundle, {
        args: [...cut ? ["-rn", bundle] : [], ...args],
        cwd: folder.path,
        clearEnv: true,
        env: { SIDENET_CACHE: folder.file("cache"), HOME: "" },
      }).output();
      return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
    };
    const run = async (...args: string[]) => {
      const told = await start(...args);
      assert.equal(told.code, 0, told.stderr);
      return told;
    };
    assert.match((await run("--version")).stderr, /^sidenet: unpacking into .*, once\n$/);
    await run("train", "tiny.yaml", "solver.epochs=1");
    assert.match((await run("eval", "runs/tiny")).stdout, /top-1/);
    const clip = folder.file("data", (await Deno.readTextFile(folder.file("data", "val.txt"))).split(" ")[0]);
    const [line] = (await run("predict", "runs/tiny", clip, "--json")).stdout.trim().split("\n");
    assert.equal(JSON.parse(line).top.length, 2);
    await run("page", "runs/tiny", "--out", "tiny.html");
    assert.match((await run("licenses")).stdout, /^sharp +\d[\d.]+ +Apache-2\.0/m);
    const peers = await start("bench", "peers");
    assert.equal(peers.code, 2);
    assert.match(peers.stderr, /^sidenet: Cannot time peers: they are not in the executable; .*\n$/);
    // What a verb writes follows the user's own mask.
    assert.equal((await Deno.stat(folder.file("tiny.html"))).mode! & 0o777, 0o666 & ~Deno.umask());
  },
);
