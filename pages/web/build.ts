/**
 * Builds the page that computes (`web/`) as one HTML file. Its policy lets it load nothing and send nothing: scripts are those written
 * in it, its Worker is made of them, pictures and files are the user's own.
 */
import { createHash } from "node:crypto";
import manifest from "../../deno.json" with { type: "json" };
import body from "../../web/body.html" with { type: "text" };
import ownStyle from "../../web/style.css" with { type: "text" };
import { escapeHtml } from "../html.ts";
import { PAGE_STYLE, TIMELINE_STYLE } from "../look.ts";
import { bundleForPage } from "./bundle.ts";

/** A file inside the page. */
export interface EmbeddedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What the Worker imports on the way and never uses: it writes no tables. */
const ABSENT = ["csv-stringify/sync"];
/** Kernels of training: losses, statistics of batches, gradients and their sums, updates, exchanges between ranks. */
const TRAINING = new RegExp(
  `/gpu/ops/\\w*(${
    [
      "_backward\\w*|_dx|_dweight|_dtable|_links|_flows|_partials|accumulate|count_non_finite|cross_entropy",
      "batch_norm_merge|batch_norm_update|_rank_\\w+|adamw|bert_adam|guard_\\w+|clip_\\w+|tensor_squares|exchange|average",
    ].join("|")
  })\\.wgsl$`,
);
/** The table of words is left out: it would be a fifth of a page and a third of a packed one, and networks that read sentences carry it. */
const NO_WORDS = { "./clip_merges.txt": "" };

/** Scripts of the page by module and what is left out of them: bundled once a process. */
const scripts = new Map<string, Promise<string>>();

/** A module of the page as a script. @param words Whether the table of words is in it. */
function scriptOf(module: string, words: boolean): Promise<string> {
  const key = `${module} ${words}`, known = scripts.get(key);
  if (known) return known;
  const options = { absent: ABSENT, blank: TRAINING, texts: words ? {} : NO_WORDS };
  const made = bundleForPage(new URL(`../../web/${module}`, import.meta.url), options)
    .then(({ code }) => code.trim().replaceAll(/<(\/script|!--)/gi, "<\\$1"));
  scripts.set(key, made);
  return made;
}

/**
 * Builds the page.
 *
 * @param options.title Its heading.
 * @param options.words Whether CLIP's table of words is in it, for a model whose file does not hold it.
 * @param options.searches Whether the model inside finds parts of videos by sentences, for which a camera is of no use.
 * @param options.files A model, and the backbone where it needs one, that the page opens by itself.
 */
export async function buildWebPage(
  options: { title?: string; words?: boolean; searches?: boolean; files?: readonly EmbeddedFile[] } = {},
): Promise<string> {
  const { title = "sidenet", words = false, searches = false, files = [] } = options;
  const script = await scriptOf("main.ts", words), worker = await scriptOf("worker.ts", words);
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'`,
    "worker-src blob:",
    "style-src 'unsafe-inline'",
    "img-src blob:",
    "media-src blob:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const hasModel = files.length > 0, videos = "MP4, MOV, WebM, MKV";
  const texts: Readonly<Record<string, string>> = {
    title: escapeHtml(title),
    version: manifest.version,
    invitation: !hasModel
      ? "Drop a trained model and videos."
      : searches
      ? "Drop videos on this page, and find parts of them by sentences."
      : "Drop videos on this page, or turn a camera on.",
    camera: searches ? " hidden" : "",
    kinds: hasModel ? videos : `<code>best.safetensors</code> of a run, the file of its backbone, ${videos}`,
  };
  const embedded = files.map(({ name, bytes }) =>
    `<script type="text/base64" data-name="${escapeHtml(name)}">${bytes.toBase64()}</script>`
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${texts.title} · sidenet</title>
<style>${PAGE_STYLE}${TIMELINE_STYLE}${ownStyle}</style></head>
<body><main>${body.replaceAll(/\{(\w+)\}/g, (_, name) => texts[name])}</main>${embedded.join("")}
<script type="text/plain" id="worker">${worker}</script><script>${script}</script></body></html>
`;
}
