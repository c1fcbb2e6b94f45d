/// <reference path="./globals.d.ts" />
/** The page's Worker: everything that takes time. One model at a time; what is asked is done in its order. */
import { z } from "zod";
import { readMergesFile } from "../data/text/merges_file.ts";
import { giveVocabulary } from "../data/text/vocabulary.ts";
import { formatBytes } from "../lib/text.ts";
import { topShares } from "../train/tasks/class_shares.ts";
import { leastOf } from "./choice.ts";
import { type LoadedModel, loadModel, openFile, readModel, roleOf } from "./model.ts";
import { predictVideo, readNumbers, scorePictures, sharesOf, TOP } from "./predict.ts";
import type { Answer, ModelFile, Progress, Request } from "./protocol.ts";
import { Library } from "./search.ts";
import { openVideo } from "./video.ts";

z.config({ jitless: true }); // the page's policy lets no text become code

type Weights = Awaited<ReturnType<typeof openFile>>;

const scope = globalThis as unknown as {
  postMessage(answer: Answer): void;
  onmessage: ((event: { data: Request }) => void) | null;
};
const tell = (answer: Answer) => scope.postMessage(answer);

let model: Weights | null = null, backbone: Weights | null = null, loaded: LoadedModel | null = null;
let library = new Library();
/** What was asked last of each video that is still there: earlier requests are given up. */
const wanted = new Map<number, Request>();
const isPast = (request: Request) => request.do === "predict" && wanted.get(request.video) !== request;

/** Takes each file that can be taken, and tells why the others cannot. */
async function takeFiles(files: readonly ModelFile[]): Promise<void> {
  for (const { kind, file } of files) {
    try {
      if (kind === "words") await giveVocabulary(await readMergesFile(file), { label: file.name });
      else await takeWeights(file);
    } catch (error) {
      tell({ tell: "failed", video: null, message: (error as Error).message });
      continue;
    }
    const isBackbone = kind === "weights" && backbone?.label === file.name;
    if (model === null && (isBackbone || kind === "words")) {
      tell({ tell: "kept", file: file.name, kind: isBackbone ? "backbone" : "words" });
    }
  }
  if (model !== null && loaded === null) await load(model);
}

async function takeWeights(file: File): Promise<void> {
  const weights = await openFile(file);
  if (roleOf(weights) === "backbone") backbone = weights;
  else [model, loaded] = [weights, unload()];
}

async function load(weights: Weights): Promise<void> {
  const known = await readModel(weights), { needs, needsWords } = known.facts;
  tell({ tell: "known", model: known.facts });
  if ((needs !== null && backbone === null) || needsWords) return;
  let bytes = 0;
  const stage = (what: string, done?: number, of?: number) => tell({ tell: "stage", what, done, of });
  try {
    loaded = await loadModel(known, {
      backbone: needs === null ? null : backbone,
      stage,
      planned: (planned) => {
        bytes = planned;
        stage(`compiling for ${formatBytes(planned)} of GPU memory`);
      },
    });
  } catch (error) {
    return tell({ tell: "unusable", message: (error as Error).message });
  }
  const { gpu: { name, isSoftware }, compileMs } = loaded;
  tell({ tell: "ready", model: known.facts, adapter: name, bytes, isSoftware, compileMs });
}

function unload(): null {
  loaded?.session[Symbol.asyncDispose]();
  loaded?.gpu[Symbol.dispose]();
  library = new Library();
  return null;
}

function requireLoaded(): LoadedModel {
  if (loaded === null) throw new Error("Cannot predict: a model must be given first");
  return loaded;
}

async function answer(request: Request): Promise<void> {
  if (request.do === "model") return await takeFiles(request.files);
  if (request.do === "remove") return library.remove(request.video);
  const ready = requireLoaded();
  if (request.do === "search") {
    const { sentence } = request;
    return tell({ tell: "hits", sentence, ...await library.search(ready, sentence) });
  }
  const { video: number } = request;
  if (request.do === "frames") {
    const { width, height, frames } = request, started = performance.now();
    const numbers = readNumbers(ready, frames.length, null);
    const [said] = await scorePictures(ready, [numbers.map((one) => ({ width, height, rgb: frames[one] }))]);
    const top = topShares(sharesOf(ready, said), ready.labels, TOP);
    return tell({ tell: "shares", video: number, top, ms: performance.now() - started });
  }
  if (isPast(request)) return;
  using video = await openVideo(request.file);
  const bound = leastOf(request.window, video.times);
  if (bound !== null) return tell({ tell: "choice", video: number, bound });
  const options = {
    window: request.window,
    onProgress: (progress: Progress) => {
      if (isPast(request)) throw new Error("given up"); // and nobody hears it
      tell({ tell: "progress", video: number, ...progress });
    },
  };
  if (ready.model.text) {
    const result = await library.add(ready, { number, video }, options);
    return tell({ tell: "embedded", video: number, result });
  }
  tell({ tell: "result", video: number, result: await predictVideo(ready, video, options) });
}

let queue = Promise.resolve();
scope.onmessage = ({ data }) => {
  if (data.do === "predict") wanted.set(data.video, data);
  if (data.do === "remove") wanted.delete(data.video);
  queue = queue.then(() => answer(data)).catch((error) => {
    if (isPast(data)) return;
    const { message } = error as Error;
    tell({ tell: "failed", video: "video" in data ? data.video : null, message });
  });
};
