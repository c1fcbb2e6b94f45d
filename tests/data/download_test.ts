import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { download, type DownloadOptions, NetworkError } from "../../data/download.ts";
import { DataError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { type Behaviour, sampleBytes, serveFile, sha256Of } from "../_util/file_server.ts";

const BYTES = sampleBytes(100_000), SHA256 = sha256Of(BYTES);
const FETCH = fileURLToPath(new URL("../_util/fetch_file.ts", import.meta.url));

/** A folder with a server, and a way to fetch from it. */
async function withServer(
  does: Behaviour,
  work: (at: {
    server: ReturnType<typeof serveFile>;
    folder: string;
    path: string;
    fetchIt: (options?: Partial<DownloadOptions>) => Promise<string[]>;
  }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" });
  try {
    await using server = serveFile(BYTES, does);
    const path = join(folder, "weights", "file.pt");
    await work({
      server,
      folder,
      path,
      async fetchIt(options = {}) {
        const notes: string[] = [];
        const onNote = (text: string) => void notes.push(text);
        await download(server.address, path, { sha256: SHA256, retryMs: 1, onNote, ...options });
        return notes;
      },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What lies beside a path, and that the file itself is right. */
async function requireWhole(path: string): Promise<void> {
  assert.equal(sha256Of(await Deno.readFile(path)), SHA256);
  assert.deepEqual([...Deno.readDirSync(join(path, ".."))].map(({ name }) => name), ["file.pt"]);
}

Deno.test("download() fetches a file with its progress, and leaves nothing else", async () => {
  for (const does of [{}, { chunked: true }, { slowMs: 1 }] as Behaviour[]) {
    await withServer(does, async ({ fetchIt, path, server }) => {
      const seen: [number, number | null][] = [];
      assert.deepEqual(await fetchIt({ onProgress: (...at) => void seen.push(at) }), []);
      await requireWhole(path);
      assert.deepEqual(seen.at(-1), [BYTES.length, does.chunked ? null : BYTES.length]);
      assert.ok(seen.length > 2 && seen.every(([done], i) => i === 0 || done >= seen[i - 1][0]));
      assert.equal(server.requests.length, 1);
      await fetchIt(); // it is there
      assert.equal(server.requests.length, 1);
    });
  }
});

Deno.test("download() goes on where a connection broke off, with the same version of the file", async () => {
  const cutAfter = (request: number) => request < 5 ? 15_000 : undefined;
  for (const etag of [undefined, () => '"v1"']) {
    await withServer({ cutAfter, etag }, async ({ fetchIt, path, server }) => {
      const notes = await fetchIt();
      await requireWhole(path);
      assert.match(notes[0], /^the connection broke off at .* KiB: going on from there$/);
      const [first, ...later] = server.requests;
      assert.deepEqual([first.range, first.ifRange], [null, null]);
      assert.ok(later.length >= 4 && later.every(({ range }) => /^bytes=\d+-$/.test(range!)));
      assert.ok(later.every(({ ifRange }) => ifRange === (etag === undefined ? null : '"v1"')));
      assert.ok(server.sent <= BYTES.length + 5 * 8192, `${server.sent} bytes sent`);
    });
  }
});

Deno.test("download() begins anew where the file changed, or the server gives no ranges or wrong ones", async () => {
  const cutAfter = (request: number) => request === 0 ? 30_000 : undefined;
  for (
    const does of [
      { etag: (request: number) => `"v${request}"` },
      { ignoresRanges: true },
      { shiftRange: 100 },
      { bytes: (request: number) => request === 0 ? sampleBytes(BYTES.length, 7) : BYTES }, // without a tag
    ] as Behaviour[]
  ) {
    await withServer({ ...does, cutAfter }, async ({ fetchIt, path }) => {
      await fetchIt();
      await requireWhole(path);
    });
  }
});

Deno.test("download() keeps nothing of a file that is not what it must be, and never under its name", async () => {
  const wrong = sampleBytes(BYTES.length, 9);
  await withServer({ bytes: () => wrong }, async ({ fetchIt, path, folder }) => {
    await assert.rejects(
      fetchIt(),
      (error) =>
        error instanceof DataError && !(error instanceof NetworkError) &&
        error.message.includes(`its SHA-256 must be ${SHA256}, current value is ${sha256Of(wrong)}`),
    );
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), []);
    await assert.rejects(Deno.stat(path));
  });
});

Deno.test("download() says what a server answers, and tries again only where that may help", async () => {
  await withServer({ status: () => 404 }, async ({ fetchIt, server }) => {
    await assert.rejects(fetchIt(), {
      message: `Cannot fetch "${server.address}": the server answers 404 Not Found`,
    });
    assert.equal(server.requests.length, 1);
  });
  await withServer({ status: (request) => request < 2 ? 503 : undefined }, async ({ fetchIt, path }) => {
    assert.equal((await fetchIt()).length, 2);
    await requireWhole(path);
  });
  await withServer({ status: () => 500 }, async ({ fetchIt, server }) => {
    await assert.rejects(fetchIt(), NetworkError);
    assert.equal(server.requests.length, 3);
  });
});

Deno.test("download() follows redirects, also of a request for a range", async () => {
  await using behind = serveFile(BYTES, { cutAfter: (request) => request === 0 ? 30_000 : undefined });
  await withServer({ redirect: () => behind.address }, async ({ fetchIt, path, server }) => {
    await fetchIt();
    await requireWhole(path);
    assert.equal(server.requests.length, 2);
    assert.match(behind.requests[1].range!, /^bytes=/);
  });
});

Deno.test("download() gives up on a server that says nothing, keeps what is there, and goes on with it", async () => {
  const stallAfter = (request: number) => request < 4 ? (request === 0 ? 20_480 : 0) : undefined;
  await withServer({ stallAfter }, async ({ fetchIt, path, server }) => {
    await assert.rejects(fetchIt({ stallMs: 100 }), /the server sent nothing for 0\.1 s$/);
    assert.ok((await Deno.stat(`${path}.partial`)).size >= 16_384);
    await fetchIt({ stallMs: 5000 });
    await requireWhole(path);
    assert.match(server.requests.at(-1)!.range!, /^bytes=(16|20)\d+-$/);
  });
});

Deno.test("download() says that a server cannot be reached", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" });
  const server = serveFile(BYTES), { address } = server;
  await server[Symbol.asyncDispose]();
  await assert.rejects(
    download(address, join(folder, "file.pt"), { sha256: SHA256, retryMs: 1 }),
    (error) =>
      error instanceof NetworkError &&
      /the server cannot be reached \(Connection refused\)$/.test(error.message),
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("download() stops when it is interrupted, and goes on later", async () => {
  await withServer({ slowMs: 5 }, async ({ fetchIt, path, server }) => {
    const stop = new AbortController();
    const onProgress = (done: number) => {
      if (done > 30_000) stop.abort(new Error("stopped"));
    };
    await assert.rejects(fetchIt({ signal: stop.signal, onProgress }), /^Error: stopped$/);
    await fetchIt();
    await requireWhole(path);
    assert.match(server.requests[1].range!, /^bytes=[34]\d{4}-$/);
  });
});

Deno.test("download() does not take the part of another address, nor one that is damaged", async () => {
  await withServer({}, async ({ fetchIt, path, server }) => {
    await Deno.mkdir(join(path, ".."));
    const part = sampleBytes(50_000, 3);
    for (
      const of of [
        { address: "http://elsewhere/file.pt", validator: null, total: BYTES.length },
        { address: server.address, validator: null, total: BYTES.length },
        { address: server.address, validator: null, total: 50_000 },
        "{",
      ]
    ) {
      await Deno.writeFile(`${path}.partial`, part);
      await Deno.writeTextFile(`${path}.partial.json`, typeof of === "string" ? of : JSON.stringify(of));
      await fetchIt();
      await requireWhole(path);
      await Deno.remove(path);
    }
  });
});

/** The same in a process of its own. */
function fetchInProcess(
  address: string,
  path: string,
  options: { permissions?: string[]; env?: Record<string, string> } = {},
): Deno.ChildProcess {
  const { permissions = ["-A"], env } = options;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "--no-check", ...permissions, FETCH, address, path, SHA256],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

Deno.test("download() in two processes at once fetches once", async () => {
  await withServer({ slowMs: 20 }, async ({ path, server }) => {
    const ends = await Promise.all([0, 1].map(async () => {
      const { code, stderr } = await fetchInProcess(server.address, path).output();
      return { code, text: new TextDecoder().decode(stderr) };
    }));
    assert.deepEqual(ends.map(({ code }) => code), [0, 0], JSON.stringify(ends));
    assert.equal(server.requests.length, 1);
    await requireWhole(path);
  });
});

const NO_NET = ["--allow-read", "--allow-write", "--allow-sys", "--allow-env"];

Deno.test("download() is led to no host that the process may not reach", async () => {
  await using elsewhere = serveFile(BYTES);
  await withServer({ redirect: () => elsewhere.address }, async ({ path, server }) => {
    const permissions = [...NO_NET, `--allow-net=${new URL(server.address).host}`];
    const { code, stderr } = await fetchInProcess(server.address, path, { permissions }).output();
    assert.equal(code, 1);
    const { host } = new URL(elsewhere.address);
    assert.match(
      new TextDecoder().decode(stderr),
      new RegExp(`it leads to ${host}, which this tool may not reach`),
    );
    assert.equal(elsewhere.requests.length, 0);
  });
});

Deno.test("download() goes through the environment's proxy, with permission for the host alone", async () => {
  await withServer({}, async ({ path, server }) => {
    const { code, stderr } = await fetchInProcess("http://weights.invalid/models/file.pt", path, {
      permissions: [...NO_NET, "--allow-net=weights.invalid"],
      env: { HTTP_PROXY: new URL(server.address).origin, http_proxy: new URL(server.address).origin },
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.equal(server.requests.length, 1);
    await requireWhole(path);
  });
});

/** Kills in all. */
const KILLS = 20;

Deno.test("download() that is killed at twenty random places ends right", async () => {
  await withServer({ slowMs: 3 }, async ({ path, server }) => {
    const prng = createPrng(11);
    let kills = 0, ends = 0;
    while (kills < KILLS) {
      for (let done = false; !done;) {
        const child = fetchInProcess(server.address, path), requests = server.requests.length;
        // After the process has begun to fetch, at a place of its own each time.
        const timer = setInterval(() => {
          if (server.requests.length === requests) return;
          clearInterval(timer);
          setTimeout(() => {
            try {
              child.kill("SIGKILL");
            } catch {
              // it has ended
            }
          }, prng.integer(90));
        }, 2);
        await child.stderr.cancel();
        const { code, signal } = await child.status;
        clearInterval(timer);
        if (signal === "SIGKILL") kills++;
        done = code === 0;
        const there = await Deno.readFile(path).catch(() => null);
        assert.ok(there === null || sha256Of(there) === SHA256, "unchecked bytes under the name");
      }
      await requireWhole(path);
      await Deno.remove(path);
      ends++;
    }
    assert.ok(ends > 0);
  });
});
