/** A server of one file on this machine, as good or bad as a test needs it: it cuts, stalls, redirects, refuses, forgets ranges. */
import { createHash } from "node:crypto";

/** What the server does with a request. All of it may depend on the number of the request, from 0. */
export interface Behaviour {
  /** Bytes of an answer after which the connection is cut. */
  cutAfter?: (request: number) => number | undefined;
  /** Bytes of an answer after which nothing comes any more. */
  stallAfter?: (request: number) => number | undefined;
  /** Status in place of the file. */
  status?: (request: number) => number | undefined;
  /** Answers a request for a range with the whole file. */
  ignoresRanges?: boolean;
  /** The length is not said. */
  chunked?: boolean;
  etag?: (request: number) => string | undefined;
  /** Wait before each piece, in ms. */
  slowMs?: number;
  /** What a request is told to go to. */
  redirect?: (request: number) => string | undefined;
  /** The first byte said to be in the range, less than the truth. */
  shiftRange?: number;
  bytes?: (request: number) => Uint8Array<ArrayBuffer>;
}

const PIECE = 4096;

/** Bytes that repeat nowhere, so that a misplaced piece is seen. */
export function sampleBytes(count: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  let state = seed;
  for (let i = 0; i < count; i++) {
    state = Math.imul(state, 1664525) + 1013904223 | 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A running server. */
export interface FileServer extends AsyncDisposable {
  address: string;
  /** Headers of the requests so far. */
  requests: { range: string | null; ifRange: string | null; path: string }[];
  /** Bytes handed out in all. */
  sent: number;
}

/** Serves bytes under every path. */
export function serveFile(whole: Uint8Array<ArrayBuffer>, does: Behaviour = {}): FileServer {
  const requests: FileServer["requests"] = [];
  const state = { sent: 0 }, ending = new AbortController();
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    signal: ending.signal,
    onError: () => new Response(null, { status: 500 }),
  }, (request) => {
    const number = requests.length, { headers } = request;
    const range = headers.get("range"), ifRange = headers.get("if-range");
    requests.push({ range, ifRange, path: new URL(request.url).pathname });
    const to = does.redirect?.(number), status = does.status?.(number);
    if (to !== undefined) return new Response(null, { status: 302, headers: { location: to } });
    if (status !== undefined) return new Response("no", { status });
    const bytes = does.bytes?.(number) ?? whole, etag = does.etag?.(number);
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    const isSame = ifRange === null || ifRange === etag;
    const isPart = range !== null && !does.ignoresRanges && isSame;
    if (isPart && from >= bytes.length) {
      return new Response(null, { status: 416, headers: { "content-range": `bytes */${bytes.length}` } });
    }
    const start = isPart ? from : 0;
    const answer = new Headers(etag === undefined ? {} : { etag });
    if (!does.chunked) answer.set("content-length", String(bytes.length - start));
    const said = start - (does.shiftRange ?? 0);
    if (isPart) answer.set("content-range", `bytes ${said}-${bytes.length - 1}/${bytes.length}`);
    const cut = does.cutAfter?.(number), stall = does.stallAfter?.(number);
    const end = Math.min(bytes.length, start + (cut ?? stall ?? Infinity));
    let at = start;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (does.slowMs) await new Promise((resolve) => setTimeout(resolve, does.slowMs));
        if (at >= end) {
          if (stall !== undefined) return await new Promise<void>(() => {}); // for ever
          if (cut !== undefined && end < bytes.length) return controller.error(new Error("cut"));
          return controller.close();
        }
        const piece = bytes.slice(at, Math.min(end, at + PIECE));
        at += piece.length;
        state.sent += piece.length;
        controller.enqueue(piece);
      },
    });
    return new Response(body, { status: isPart ? 206 : 200, headers: answer });
  });
  return {
    address: `http://127.0.0.1:${server.addr.port}/models/file.pt`,
    requests,
    get sent() {
      return state.sent;
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await server.finished;
    },
  };
}
