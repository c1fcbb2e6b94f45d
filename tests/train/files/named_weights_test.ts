import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../../lib/errors.ts";
import {
  KNOWN_FILES,
  type PublishedFile,
  publishedFile,
  UNCHECKED_FILES,
  weightsName,
} from "../../../models/known_files.ts";
import {
  type LocateOptions,
  locateWeights,
  MissingWeightsError,
} from "../../../train/files/named_weights.ts";
import { sampleBytes, serveFile, sha256Of } from "../../_util/file_server.ts";
import manifest from "../../../deno.json" with { type: "json" };

const BYTES = sampleBytes(20_000), SHA256 = sha256Of(BYTES);

/** Folders for weights, a server, and a table that names its file "Toy-1". */
async function withPlaces(
  work: (at: {
    root: string;
    locate: (given: string, more?: Partial<LocateOptions>) => ReturnType<typeof locateWeights>;
    write: (path: string, bytes?: Uint8Array) => Promise<string>;
    server: ReturnType<typeof serveFile>;
  }) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "sidenet-" });
  try {
    await using server = serveFile(BYTES);
    const toy: PublishedFile = {
      backbone: "Toy/1",
      file: "Toy-1.pt",
      sha256: SHA256,
      address: server.address,
    };
    const published = (name: string) =>
      ["toy-1", "toy-1.pt", "toy/1"].includes(name.toLowerCase()) ? toy : undefined;
    const places = { folder: join(root, "own"), cache: join(root, "cache"), published, retryMs: 1 };
    for (const name of ["own", "cache"]) await Deno.mkdir(join(root, name));
    await work({
      root,
      server,
      locate: (given, more) => locateWeights(given, { ...places, ...more }),
      async write(path, bytes = BYTES) {
        await Deno.writeFile(join(root, path), bytes);
        return join(root, path);
      },
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("locateWeights() takes a file of that path, then the user's folder, then the cache, then the network", async () => {
  await withPlaces(async ({ root, locate, write, server }) => {
    const fetched: string[] = [];
    const onFetch = ({ address }: PublishedFile, path: string) => void fetched.push(address, path);
    for (const name of ["Toy-1", "toy-1.pt", "Toy/1"]) {
      const located = await locate(name, { onFetch });
      assert.deepEqual(located, { path: join(root, "cache", "Toy-1.pt"), sha256: SHA256 });
    }
    assert.deepEqual(fetched, [server.address, join(root, "cache", "Toy-1.pt")]);
    assert.equal(server.requests.length, 1);

    const converted = await write("own/Toy-1.safetensors", Uint8Array.of(1));
    assert.deepEqual(await locate("Toy-1"), { path: converted });
    const own = await write("own/Toy-1.pt", Uint8Array.of(2));
    assert.deepEqual(await locate("Toy-1"), { path: own });
    const here = await write("Toy-1.pt", Uint8Array.of(3));
    assert.deepEqual(await locate(here), { path: here });
    assert.equal(server.requests.length, 1);
  });
});

Deno.test("locateWeights() says what to put where when nothing may or can be fetched", async () => {
  await withPlaces(async ({ root, locate, server }) => {
    const put = `; put Toy-1.pt from ${server.address} into "`;
    await assert.rejects(locate("Toy-1", { notFetched: "--offline fetches nothing" }), {
      name: "MissingWeightsError",
      message: `Cannot find the weights "Toy-1": --offline fetches nothing${put}${join(root, "own")}"`,
    });
    await assert.rejects(
      locate("Toy-1", { notFetched: "--offline fetches nothing", folder: null }),
      (error) => (error as Error).message.endsWith(`${put}${join(root, "cache")}"`),
    );
    await assert.rejects(
      locate("Toy-1", { cache: null, folder: null }),
      /there is no cache folder to fetch them into; .*"a folder named by SIDENET_WEIGHTS"$/,
    );
    const gone = await serveFile(BYTES);
    const { address } = gone;
    await gone[Symbol.asyncDispose]();
    const file: PublishedFile = { backbone: "Toy/1", file: "Toy-1.pt", sha256: SHA256, address };
    await assert.rejects(
      locate("Toy-1", { published: () => file }),
      (error) =>
        error instanceof MissingWeightsError &&
        /: they cannot be fetched, the server cannot be reached \(.*\); put Toy-1\.pt from /.test(
          error.message,
        ),
    );
    const unchecked = { ...file, sha256: null };
    await assert.rejects(
      locate("Toy-1", { published: () => unchecked }),
      /they are not fetched, because their authors publish no checksum; put Toy-1\.pt from /,
    );
    assert.equal(server.requests.length, 0);
  });
});

Deno.test("locateWeights() leaves other paths as they are, and fetches nothing for a path that is mistyped", async () => {
  await withPlaces(async ({ locate, write, root, server }) => {
    assert.deepEqual(await locate("other.pt"), { path: "other.pt" });
    await assert.rejects(
      locate("Tay-1"),
      /^DataError: Cannot find the weights "Tay-1": it must be a file or one of ViT-B-32, ViT-B-16, /,
    );
    const mistyped = join(root, "nowhere", "Toy-1.pt");
    await assert.rejects(locate(mistyped), {
      message:
        `Cannot open "${mistyped}": it does not exist; network.weights=Toy-1 finds it by its name, or fetches it`,
    });
    const own = await write("own/Toy-1.pt");
    assert.deepEqual(await locate(mistyped), { path: own });
    await Deno.remove(own);
    assert.equal(server.requests.length, 0);
    // A run that comes from another machine names a place there.
    assert.equal((await locate(mistyped, { isRecorded: true })).path, join(root, "cache", "Toy-1.pt"));
  });
});

Deno.test("locateWeights() uses nothing from the cache that is not the published file", async () => {
  await withPlaces(async ({ locate, write }) => {
    const path = await write("cache/Toy-1.pt", Uint8Array.of(1, 2, 3));
    await assert.rejects(
      locate("Toy-1"),
      (error) =>
        error instanceof DataError &&
        error.message.startsWith(
          `Cannot use "${path}": it must be the published Toy-1.pt, SHA-256 ${SHA256}, `,
        ) &&
        error.message.endsWith("; remove it, and it is fetched again"),
    );
  });
});

Deno.test("publishedFile() knows the names of all published files, and verbs may reach exactly where those are fetched from", () => {
  for (
    const [name, file] of [
      ["ViT-B-16", "ViT-B-16.pt"],
      ["vit-b-32.pt", "ViT-B-32.pt"],
      ["ViT-L/14", "ViT-L-14.pt"],
      ["ViT-L-14-336px", "ViT-L-14-336px.pt"],
      ["ViT-L/14@336px", "ViT-L-14-336px.pt"],
      ["EVA02_CLIP_E_psz14_s4B", "EVA02_CLIP_E_psz14_s4B.pt"],
      ["EVA02-CLIP-L-14-336", "EVA02_CLIP_L_336_psz14_s6B.pt"],
    ]
  ) assert.equal(publishedFile(name)?.file, file, name);
  assert.equal(publishedFile("ViT-H-14"), undefined);
  for (const { address, sha256, file } of KNOWN_FILES) {
    assert.match(sha256, /^[0-9a-f]{64}$/);
    assert.equal(address, `https://openaipublic.azureedge.net/clip/models/${sha256}/${file}`);
  }
  const all = [...KNOWN_FILES, ...UNCHECKED_FILES].map(weightsName);
  assert.equal(new Set(all).size, all.length);
  const hosts = new Set(KNOWN_FILES.map(({ address }) => `${new URL(address).hostname}:443`));
  assert.deepEqual(manifest.permissions.verbs.net, [...hosts]);
});
