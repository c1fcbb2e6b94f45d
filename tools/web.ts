/**
 * Builds the page that runs trained models in a browser (`web/`), and serves it to this machine.
 *
 *     deno run -A tools/web.ts [--out=FILE] [--port=N] [--no-serve]
 *
 * The file is whole: it may be opened from the disk, or put on any server, as well.
 */
import { formatBytes } from "../lib/text.ts";
import { buildWebPage } from "../pages/web/build.ts";
import { fail, OUT_OPTIONS, outFile, prepareFile, toolOptions } from "./_options.ts";

const USAGE = `./denow task web [--out=FILE] [--port=N] [--no-serve]

Builds the page that runs trained models on videos in a browser, and serves it to this machine until Ctrl-C.

  --out=FILE   where the page goes; web.html among the builds of this project by default
  --port=N     port of localhost, 8000 by default; 0: any that is free
  --no-serve   build it alone; the file may be opened from the disk`;
const HOSTNAME = "localhost", MOST_PORT = 65_535;

/** The port, before anything is built. */
function usablePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > MOST_PORT) {
    fail(`Cannot serve: --port must be 0 to ${MOST_PORT}, current value is ${text}`, 2);
  }
  return port;
}

/** Serves what is built; the port is taken at once, and who asks earlier waits. */
function serve(port: number, page: Promise<string>): Deno.HttpServer {
  const headers = { "content-type": "text/html; charset=utf-8", "cache-control": "no-cache" };
  try {
    return Deno.serve(
      { hostname: HOSTNAME, port, onListen: () => {} },
      async (request) =>
        new URL(request.url).pathname === "/"
          ? new Response(await page, { headers })
          : new Response("not found", { status: 404 }),
    );
  } catch (error) {
    const why = error instanceof Deno.errors.AddrInUse
      ? "another program has it"
      : error instanceof Deno.errors.PermissionDenied
      ? "the system does not allow it"
      : (error as Error).message;
    return fail(`Cannot serve on port ${port}: ${why}; choose another with --port, or --port=0 for any`);
  }
}

const values = toolOptions({
  ...OUT_OPTIONS,
  port: { type: "string", default: "8000" },
  serve: { type: "boolean", default: true },
}, USAGE);
const port = usablePort(values.port);
const { path, shown } = outFile(values, "web.html");
const built = Promise.withResolvers<string>();
const server = values.serve ? serve(port, built.promise) : null;
await prepareFile(path);
const page = await buildWebPage();
await Deno.writeTextFile(path, page);
built.resolve(page);
const packed = await new Response(new Blob([page]).stream().pipeThrough(new CompressionStream("gzip")))
  .arrayBuffer();
console.log(
  `${shown}: ${formatBytes(new TextEncoder().encode(page).length)}, ${
    formatBytes(packed.byteLength)
  } gzipped`,
);
if (server) {
  console.log(
    `open http://${HOSTNAME}:${(server.addr as Deno.NetAddr).port}/ in a browser with WebGPU; Ctrl-C ends it`,
  );
}
