/// <reference path="./globals.d.ts" />
/** The page: takes files, shows what they are, how far the work is, and what the network says. The work is the Worker's. */
import { PageColours } from "../lib/colours.ts";
import { formatBytes, formatCount } from "../lib/text.ts";
import { defaultStride, formatClock } from "../train/evaluation/timeline.ts";
import { Camera } from "./camera.ts";
import { boundText, LEAST_LIVE } from "./choice.ts";
import { byId, make, saveButton } from "./dom.ts";
import { kindOf } from "./files.ts";
import type {
  Answer,
  ChoiceBound,
  EmbeddedVideo,
  ModelFacts,
  ModelFile,
  Progress,
  Request,
  VideoResult,
  WindowChoice,
} from "./protocol.ts";
import { resultView, shareList, thumbnailStrip } from "./timeline.ts";
import { describe, hasGpu, noGpu, showHits } from "./views.ts";

const colours = new PageColours();
/** The number of the camera among the videos. */
const CAMERA = -1;

/** A video that was given. */
interface Clip {
  file: File;
  readonly view: HTMLElement;
  readonly name: string;
  /** Pictures, once it can be searched. */
  thumbnails: VideoResult["thumbnails"];
}

/** By number, which is never given twice. */
const clips = new Map<number, Clip>();
let nextNumber = 0;
let worker: Worker | null = null, ready: ModelFacts | null = null, camera: Camera | null = null;
/** Whether a model was given, if it is not ready yet. */
let isKnown = false;
/** Why nothing can be computed, and whether that is the browser's fault, which stays. */
let trouble = "", lacksGpu = false;
/** The sentence whose hits are shown, and what window or stride must have at least for all videos. */
let found = "", bound: ChoiceBound | null = null;

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
      return predictAll();
    }
    case "unusable":
      say("");
      return cannotCompute(lacksGpu ? trouble : answer.message);
    case "progress":
      return progress(answer.video, answer);
    case "choice":
      return chooseAnew(answer.video, answer.bound);
    case "result":
      return showResult(answer.video, answer.result);
    case "embedded":
      return showEmbedded(answer.video, answer.result);
    case "hits":
      found = answer.sentence;
      return showHits(answer, clips);
    case "shares":
      camera?.show(shareList(answer.top, colours), answer.ms);
      return;
    case "failed":
      if (answer.video === null) return fail(answer.message);
      if (answer.video === CAMERA) return camera?.fail(answer.message);
      showBody(answer.video, make("p", { class: "error" }, answer.message));
  }
}

/** What waits for a model: a paragraph in place of a result. */
function waiting(): HTMLElement {
  if (trouble !== "") {
    return make(
      "p",
      { class: "error" },
      `Cannot compute: ${lacksGpu ? "no GPU" : "no usable model"}, see above`,
    );
  }
  const what = ready ? "waiting" : isKnown ? "waiting until the model is ready" : "waiting for a model";
  return make("p", { class: "waiting" }, what);
}

/** Shows something in place of a video's result, unless it was taken away meanwhile. */
function showBody(number: number, ...shown: readonly HTMLElement[]): void {
  const body = clips.get(number)?.view.querySelector(".body");
  body?.replaceChildren(...shown);
}

/** Tells why nothing can be computed, above and in each video; "": it can. */
function cannotCompute(why: string): void {
  trouble = why;
  byId("trouble").textContent = why;
  for (const number of clips.keys()) showBody(number, waiting());
}

/** A model in place of another: what that one said goes. */
function begin(model: ModelFacts): void {
  [ready, isKnown] = [null, true];
  camera?.stop();
  byId<HTMLButtonElement>("camera").disabled = true;
  byId("camera").hidden = model.searches; // a camera is not searched
  byId("search").hidden = true;
  clearHits();
  byId("once-more").textContent = model.searches ? "Read again" : "Predict again";
  describe(model);
  for (const { view } of clips.values()) view.querySelector(".tools")!.replaceChildren();
  cannotCompute(lacksGpu ? trouble : "");
}

/** Window and stride as they are chosen. */
function choice(): WindowChoice {
  const number = (id: string) => Number(byId<HTMLInputElement>(id).value);
  const window = number("window");
  return window > 0 ? { window, stride: number("stride") || defaultStride(window) } : null;
}

function predictAll(): void {
  tellChoice(null);
  for (const number of clips.keys()) predict(number);
}

/** A word at the fields of window and stride. */
function tellChoice(given: ChoiceBound | null, text = given ? boundText(given) : ""): void {
  bound = given;
  byId("choice").textContent = text;
  for (const field of ["window", "stride"]) {
    byId(field).toggleAttribute("aria-invalid", given?.field === field);
  }
}

/** Windows cannot be laid over a video as they are chosen: told once for all. */
function chooseAnew(number: number, needed: ChoiceBound): void {
  showBody(number, make("p", { class: "waiting" }, `${needed.field} too short for this video`));
  if (bound === null || needed.seconds > bound.seconds) tellChoice(needed);
}

/** The seconds that a camera's network is shown. */
function liveWindow(): number {
  return Math.max(LEAST_LIVE, choice()?.window ?? 2);
}

/** Says where the camera is shown more than the window that is chosen. */
function tellLive(): void {
  const chosen = choice()?.window ?? LEAST_LIVE;
  if (camera?.isRunning && chosen < LEAST_LIVE) {
    tellChoice({ field: "window", seconds: LEAST_LIVE }, `Window: the camera takes at least ${LEAST_LIVE} s`);
  } else tellChoice(null);
}

function predict(number: number): void {
  const { file, view } = clips.get(number)!;
  view.querySelector(".about")!.textContent = formatBytes(file.size);
  view.querySelector(".tools")!.replaceChildren();
  showBody(number, waiting(), make("progress", {}));
  ask({ do: "predict", video: number, file, window: choice() });
}

function progress(number: number, { what, done, of }: Progress): void {
  showBody(
    number,
    make("p", { class: "waiting" }, done === 0 ? what : `window ${formatCount(done)}/${formatCount(of)}`),
    make("progress", { value: done, max: of }),
  );
}

function showResult(number: number, result: VideoResult): void {
  const view = clips.get(number)?.view;
  if (!view) return;
  view.querySelector(".about")!.textContent = `${formatClock(result.seconds, 1)} · ${
    result.windows.length === 0
      ? "whole clip at once"
      : `${formatCount(result.windows.length)} window${result.windows.length === 1 ? "" : "s"}`
  } · ${(result.computeMs / 1000).toFixed(1)} s`;
  view.querySelector(".tools")!.replaceChildren(
    saveButton(`${result.file.replace(/\.[^.]*$/, "")}.json`, result.json),
  );
  showBody(number, resultView(result, colours));
}

/** A video that can be searched. */
function showEmbedded(number: number, { seconds, parts, thumbnails, computeMs }: EmbeddedVideo): void {
  const clip = clips.get(number);
  if (!clip) return;
  clip.view.querySelector(".about")!.textContent = `${formatClock(seconds, 1)} · ${formatCount(parts)} part${
    parts === 1 ? "" : "s"
  } · ${(computeMs / 1000).toFixed(1)} s`;
  showBody(number, thumbnailStrip(thumbnails, (at) => formatClock(at, 1)));
  clip.thumbnails = thumbnails;
  if (byId<HTMLInputElement>("sentence").value.trim() !== "") searchNow();
}

function searchNow(): void {
  const sentence = byId<HTMLInputElement>("sentence").value.trim();
  clearHits(sentence === "" ? "Write a sentence first." : "");
  if (sentence !== "") ask({ do: "search", sentence });
}

function clearHits(remark = ""): void {
  found = "";
  byId("hits").replaceChildren(remark);
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

/** Takes a video; the same once more takes the place of the first. */
function addVideo(file: File): void {
  for (const [number, clip] of clips) {
    const { name, size, lastModified } = clip.file;
    if (name !== file.name || size !== file.size || lastModified !== file.lastModified) continue;
    clip.file = file;
    return ready ? predict(number) : undefined;
  }
  const number = nextNumber++;
  const view = make(
    "article",
    { class: "input" },
    make(
      "header",
      {},
      make("h2", {}, file.name),
      make("span", { class: "tools" }),
      make(
        "button",
        { type: "button", "aria-label": `Remove ${file.name}`, click: () => removeVideo(number) },
        "Remove",
      ),
    ),
    make("p", { class: "about" }, formatBytes(file.size)),
    make("div", { class: "body" }, waiting()),
  );
  byId("videos").append(view);
  clips.set(number, { file, view, name: file.name, thumbnails: [] });
  if (ready) predict(number);
}

function removeVideo(number: number): void {
  const { view } = clips.get(number)!, next = view.nextElementSibling ?? view.previousElementSibling;
  view.remove();
  clips.delete(number);
  if (worker) ask({ do: "remove", video: number });
  // Whoever uses a keyboard goes on from there.
  (next?.querySelector<HTMLElement>("header > button") ?? byId("files")).focus();
  if (clips.size === 0) {
    tellChoice(null);
    clearHits();
  } else if (found !== "") ask({ do: "search", sentence: found });
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
    if (ready) predictAll();
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    searchNow();
  });
  byId("again").addEventListener("input", tellLive);
  byId("camera").addEventListener("click", async () => {
    if (camera?.isRunning) return camera.stop();
    camera = new Camera(
      byId("live"),
      (frames, { width, height }) =>
        ask({ do: "frames", video: CAMERA, width, height, frames }, frames.map(({ buffer }) => buffer)),
    );
    await camera.start(liveWindow);
    tellLive();
  });
}

listen();
hasGpu().then((has) => {
  lacksGpu = !has;
  if (!has) cannotCompute(noGpu());
});
const own = ownFiles();
if (own.length > 0) addFiles(own);
