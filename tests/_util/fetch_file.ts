/** Fetches a file in a process of its own, which a test may kill. Arguments: address, path, SHA-256. */
import { download } from "../../data/download.ts";

const [address, path, sha256] = Deno.args;
await download(address, path, { sha256, retryMs: 5, onNote: (text) => console.error(text) });
