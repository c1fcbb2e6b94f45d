/**
 * Builds the page that runs trained models in a browser (`web/`), and serves it to this machine.
 *
 *     deno run -A tools/web.ts [--out=FILE] [--port=N] [--no-serve]
 *
 * The file is whole: it may be opened from the disk, or put on any server, as well.
 */
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { formatBytes } from "../lib/text.ts";
import { buildWebPage } from "../pages/web/build.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    out: { type: "string", default: "web.html" },
    port: { type: "string", default: "8000" },
    serve: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const page = await buildWebPage();
await Deno.mkdir(dirname(values.out), { recursive: true });
await Deno.writeTextFile(values.out, page);
const packed = await new Response(new Blob([page]).stream().pipeThrough(new CompressionStream("gzip")))
  .arrayBuffer();
console.log(
  `${values.out}: ${formatBytes(new TextEncoder().encode(page).length)}, ${
    formatBytes(packed.byteLength)
  } gzipped`,
);
if (values.serve) {
  const headers = { "content-type": "text/html; charset=utf-8", "cache-control": "no-cache" };
  Deno.serve(
    {
      hostname: "localhost",
      port: Number(values.port),
      onListen: ({ port }) =>
        console.log(`open http://localhost:${port}/ in a browser with WebGPU; Ctrl-C ends it`),
    },
    (request) =>
      new URL(request.url).pathname === "/"
        ? new Response(page, { headers })
        : new Response("not found", { status: 404 }),
  );
}
