/// <reference path="./globals.d.ts" />
/** The page: takes files, shows what they are, how far the work is, and what the network says. The work is the Worker's. */
import { PageColours } from "../lib/colours.ts";
import { formatBytes, formatCount } from "../lib/text.ts";
import { defaultStride, formatClock } from "../train/evaluation/timeline.ts";
import { Camera } from "./camera.ts";
import { byId, make } from "./dom.ts";
import { kindOf } from "./files.ts";
import type {
  Answer,
  EmbeddedVideo,
  ModelFacts,
  ModelFile,
  Request,
  VideoResult,
  WindowChoice,
} from "./protocol.ts";
import { resultView, shareList, thumbnailStrip } from "./timeline.ts";

const colours = new PageColours();
/** The number of the camera among the videos. */
const CAMERA = -1;

/** A video that was given. */
interface Clip {
  readonly file: File;
  readonly view: HTMLElement;
}

const clips: Clip[] = [];
/** Pictures of videos that can be searched, by number. */
const thumbnailsOf: Record<number, VideoResult["thumbnails"]> = {};
let worker: Worker | null = null, ready: ModelFacts | null = null, camera: Camera | null = null;
/** Whether a model was given, if it is not ready yet. */
let isKnown = false;

function ask(request: Request, given: Transferable[] = []): void {
  worker ??= startWorker();
  worker.postMessage(request, given);
}

function startWorker(): Worker {
  const code = byId("worker").textContent!;
  const started = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  started.onmessage = ({ data }: MessageEvent<Answer>) => take(data);
  started.onerror = ({ message }) => fail(`Cannot go on: ${message}`);
  return started;
}

/** Tells what is being done. @param share How much of it is done, where that is known; null: nothing is being done. */
function say(text: string, share?: number | null): void {
  byId("status").textContent = text;
  const bar = byId<HTMLProgressElement>("progress");
  bar.hidden = text === "" || share === null;
  if (share == null) bar.removeAttribute("value");
  else bar.value = share;
}

/** A line of what went wrong; those of earlier files stay until others are given. */
function complain(message: string): void {
  byId("error").append(make("span", {}, message));
}

function fail(message: string): void {
  say("");
  complain(message);
}

function take(answer: Answer): void {
  switch (answer.tell) {
    case "stage": {
      const { what, done, of } = answer;
      return say(
        of ? `${what} ${formatCount(done ?? 0)}/${formatCount(of)}` : what,
        of ? (done ?? 0) / of : undefined,
      );
    }
    case "known":
      begin(answer.model);
      if (answer.model.needs !== null || answer.model.needsWords) say("");
      return;
    case "kept":
      return say(
        `${answer.file} is ${
          answer.kind === "backbone"
            ? "a backbone: drop the model that was trained beside it, best.safetensors of a run, as well"
            : "a table of words: drop the model as well"
        }`,
        null,
      );
    case "ready": {
      ready = answer.model;
      describe(ready, [
        ["GPU memory", formatBytes(answer.bytes), answer.adapter],
        [
          "ready in",
          `${(answer.compileMs / 1000).toFixed(1)} s`,
          answer.isSoftware ? "no GPU: a CPU computes" : "compiled for this GPU",
        ],
      ]);
      say("");
      byId<HTMLButtonElement>("camera").disabled = false;
      byId("search").hidden = !ready.searches;
      return clips.forEach((_, number) => predict(number));
    }
    case "progress":
      return progress(answer.video, answer.done, answer.of);
    case "result":
      return showResult(answer.video, answer.result);
    case "embedded":
      return showEmbedded(answer.video, answer.result);
    case "hits":
      return showHits(answer);
    case "shares":
      camera?.show(shareList(answer.top, colours), answer.ms);
      return;
    case "failed":
      if (answer.video === null) return fail(answer.message);
      if (answer.video === CAMERA) return camera?.fail(answer.message);
      clips[answer.video].view.querySelector(".body")!.replaceChildren(
        make("p", { class: "error" }, answer.message),
      );
  }
}

/** What waits for a model: a paragraph in place of a result. */
function waiting(): HTMLElement {
  const what = ready ? "waiting" : isKnown ? "waiting until the model is ready" : "waiting for a model";
  return make("p", { class: "waiting" }, what);
}

/** A model in place of another: what that one said goes. */
function begin(model: ModelFacts): void {
  [ready, isKnown] = [null, true];
  camera?.stop();
  byId<HTMLButtonElement>("camera").disabled = true;
  byId("camera").hidden = model.searches; // a camera is not searched
  byId("search").hidden = true;
  byId("hits").replaceChildren();
  byId("once-more").textContent = model.searches ? "Read again" : "Predict again";
  describe(model);
  for (const { view } of clips) {
    view.querySelector(".tools")!.replaceChildren();
    view.querySelector(".body")!.replaceChildren(waiting());
  }
}

type Tile = readonly [title: string, value: string, small: string];

function describe(model: ModelFacts, more: readonly Tile[] = []): void {
  const { labels, needs, needsWords } = model;
  const tiles: Tile[] = [
    ["model", model.system, model.file],
    ["backbone", model.backbone, needs === null ? "no further file" : `in ${needs}`],
    model.searches ? ["finds", "parts of videos", "by sentences"] : [
      "classes",
      formatCount(labels.length),
      labels.slice(0, 6).join(", ") + (labels.length > 6 ? ", …" : ""),
    ],
    ["reads", `${model.frames} frames`, `of ${model.side}×${model.side} pixels`],
    ...more,
  ];
  byId("model").replaceChildren(
    make(
      "dl",
      { class: "tiles" },
      ...tiles.map(([title, value, small]) =>
        make("div", { class: "tile" }, make("dt", {}, title), make("dd", {}, value, make("small", {}, small)))
      ),
    ),
  );
  if (needs !== null && more.length === 0) {
    byId("model").append(
      make("p", { class: "wanted" }, `This model was trained beside ${needs}: drop that file too.`),
    );
  }
  if (needsWords) {
    byId("model").append(make(
      "p",
      { class: "wanted" },
      "This model reads sentences by CLIP's table of words, and its file does not hold it: drop bpe_simple_vocab_16e6.txt.gz, merges.txt or " +
        `tokenizer.json of a CLIP too, or have sidenet convert ${model.file} new.safetensors write it in.`,
    ));
  }
}

/** Window and stride as they are chosen. */
function choice(): WindowChoice {
  const number = (id: string) => Number(byId<HTMLInputElement>(id).value);
  const window = number("window");
  return window > 0 ? { window, stride: number("stride") || defaultStride(window) } : null;
}

function predict(number: number): void {
  const { file, view } = clips[number];
  view.querySelector(".tools")!.replaceChildren();
  view.querySelector(".body")!.replaceChildren(waiting(), make("progress", {}));
  ask({ do: "predict", video: number, file, window: choice() });
}

function progress(number: number, done: number, of: number): void {
  const body = clips[number].view.querySelector(".body")!;
  body.replaceChildren(
    make(
      "p",
      { class: "waiting" },
      done === 0 ? "decoding" : `window ${formatCount(done)}/${formatCount(of)}`,
    ),
    make("progress", { value: done, max: of }),
  );
}

function showResult(number: number, result: VideoResult): void {
  const { view } = clips[number];
  view.querySelector(".about")!.textContent = `${formatClock(result.seconds, 1)} · ${
    result.windows.length === 0
      ? "whole clip at once"
      : `${formatCount(result.windows.length)} window${result.windows.length === 1 ? "" : "s"}`
  } · ${(result.computeMs / 1000).toFixed(1)} s`;
  view.querySelector(".tools")!.replaceChildren(
    saveButton(`${result.file.replace(/\.[^.]*$/, "")}.json`, result.json),
  );
  view.querySelector(".body")!.replaceChildren(resultView(result, colours));
}

/** A video that can be searched. */
function showEmbedded(number: number, { seconds, parts, thumbnails, computeMs }: EmbeddedVideo): void {
  const { view } = clips[number];
  view.querySelector(".about")!.textContent = `${formatClock(seconds, 1)} · ${formatCount(parts)} part${
    parts === 1 ? "" : "s"
  } · ${(computeMs / 1000).toFixed(1)} s`;
  view.querySelector(".body")!.replaceChildren(thumbnailStrip(thumbnails, (at) => formatClock(at, 1)));
  thumbnailsOf[number] = thumbnails;
  if (byId<HTMLInputElement>("sentence").value.trim() !== "") searchNow();
}

function searchNow(): void {
  const sentence = byId<HTMLInputElement>("sentence").value.trim();
  if (sentence !== "") ask({ do: "search", sentence });
}

/** The parts that a sentence finds, with the picture nearest to the middle of each. */
function showHits({ sentence, hits, unknown }: Answer & { tell: "hits" }): void {
  const remarks = [
    unknown.length > 0 ? `The model has no word for ${unknown.map((word) => `"${word}"`).join(", ")}.` : "",
    hits.length === 0 ? "No video has been read yet: drop some." : "",
  ].filter((text) => text !== "");
  const found = hits.map(({ video, ...hit }) => ({ path: clips[video].file.name, ...hit }));
  const save = saveButton("search.json", { query: sentence, hits: found });
  const lines = hits.map(({ video, from, to, score }) => {
    const middle = (from + to) / 2, pictures = [...thumbnailsOf[video] ?? []];
    const [nearest] = pictures.sort((a, b) => Math.abs(a.at - middle) - Math.abs(b.at - middle));
    const picture = nearest ? [make("img", { src: URL.createObjectURL(nearest.picture), alt: "" })] : [];
    return make(
      "li",
      {},
      ...picture,
      make("span", { class: "name" }, clips[video].file.name),
      make("span", { class: "span" }, `${formatClock(from, 1)}–${formatClock(to, 1)}`),
      make("span", { class: "figure" }, score.toFixed(4)),
    );
  });
  byId("hits").replaceChildren(
    make("p", { class: "remarks about" }, remarks.join(" "), hits.length > 0 ? save : ""),
    make("ol", { class: "hits" }, ...lines),
  );
}

function saveButton(name: string, value: unknown): HTMLElement {
  return make("button", { type: "button", click: () => download(name, JSON.stringify(value)) }, "JSON");
}

function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text + "\n"], { type: "application/json" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function addFiles(files: readonly File[]): Promise<void> {
  byId("error").replaceChildren();
  const model: ModelFile[] = [];
  for (const file of files) {
    try {
      const kind = await kindOf(file);
      if (kind === "video") addVideo(file);
      else model.push({ kind, file });
    } catch (error) {
      complain((error as Error).message);
    }
  }
  if (model.length === 0) return;
  say(`reading ${model.map(({ file }) => file.name).join(", ")}`);
  ask({ do: "model", files: model });
}

function addVideo(file: File): void {
  const view = make(
    "article",
    { class: "input" },
    make("header", {}, make("h2", {}, file.name), make("span", { class: "tools" })),
    make("p", { class: "about" }, formatBytes(file.size)),
    make("div", { class: "body" }, waiting()),
  );
  byId("videos").append(view);
  clips.push({ file, view });
  if (ready) predict(clips.length - 1);
}

/** The model that the page brings along, as files. */
function ownFiles(): File[] {
  return [...document.querySelectorAll<HTMLScriptElement>('script[type="text/base64"]')].map((element) => {
    const text = atob(element.textContent!.trim()),
      bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    element.remove();
    return new File([bytes], element.dataset.name!);
  });
}

function listen(): void {
  const input = byId<HTMLInputElement>("files"), drop = byId("drop");
  input.addEventListener("change", () => {
    addFiles([...input.files!]);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") addFiles([...(event as DragEvent).dataTransfer?.files ?? []]);
    });
  }
  byId("again").addEventListener("submit", (event) => {
    event.preventDefault();
    if (ready) clips.forEach((_, number) => predict(number));
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    searchNow();
  });
  byId("camera").addEventListener("click", async () => {
    if (camera?.isRunning) return camera.stop();
    camera = new Camera(
      byId("live"),
      (frames, { width, height }) =>
        ask({ do: "frames", video: CAMERA, width, height, frames }, frames.map(({ buffer }) => buffer)),
    );
    await camera.start(() => choice()?.window ?? 2);
  });
}

listen();
const own = ownFiles();
if (own.length > 0) addFiles(own);
