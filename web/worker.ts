/// <reference path="./globals.d.ts" />
/** The page's Worker: everything that takes time. One model at a time; what is asked is done in its order. */
import { z } from "zod";
import { formatBytes } from "../lib/text.ts";
import { topShares } from "../train/tasks/class_shares.ts";
import { type LoadedModel, loadModel, openFile, readModel, roleOf } from "./model.ts";
import { predictVideo, readNumbers, scorePictures, TOP } from "./predict.ts";
import type { Answer, Request } from "./protocol.ts";
import { openVideo } from "./video.ts";

z.config({ jitless: true }); // the page's policy lets no text become code

type Weights = Awaited<ReturnType<typeof openFile>>;

const scope = globalThis as unknown as {
  postMessage(answer: Answer): void;
  onmessage: ((event: { data: Request }) => void) | null;
};
const tell = (answer: Answer) => scope.postMessage(answer);

let model: Weights | null = null, backbone: Weights | null = null, loaded: LoadedModel | null = null;

async function takeFiles(files: readonly File[]): Promise<void> {
  for (const file of files) {
    const weights = await openFile(file);
    if (roleOf(weights) === "model") [model, loaded] = [weights, unload()];
    else backbone = weights;
  }
  if (model === null || loaded !== null) return;
  const known = readModel(model);
  tell({ tell: "known", model: known.facts });
  if (known.facts.needs !== null && backbone === null) return;
  let bytes = 0;
  const stage = (what: string, done?: number, of?: number) => tell({ tell: "stage", what, done, of });
  loaded = await loadModel(known, {
    backbone: known.facts.needs === null ? null : backbone,
    stage,
    planned: (planned) => {
      bytes = planned;
      stage(`compiling for ${formatBytes(planned)} of GPU memory`);
    },
  });
  const { gpu: { name, isSoftware }, compileMs } = loaded;
  tell({ tell: "ready", model: known.facts, adapter: name, bytes, isSoftware, compileMs });
}

function unload(): null {
  loaded?.session[Symbol.asyncDispose]();
  loaded?.gpu[Symbol.dispose]();
  return null;
}

function requireLoaded(): LoadedModel {
  if (loaded === null) throw new Error("Cannot predict: a model must be given first");
  return loaded;
}

async function answer(request: Request): Promise<void> {
  if (request.do === "model") return await takeFiles(request.files);
  const ready = requireLoaded(), { video: number } = request;
  if (request.do === "frames") {
    const { width, height, frames } = request, started = performance.now();
    const numbers = readNumbers(ready, frames.length, null);
    const [shares] = await scorePictures(ready, [
      numbers.map((one) => ({ width, height, rgb: frames[one] })),
    ]);
    tell({
      tell: "shares",
      video: number,
      top: topShares(shares, ready.labels, TOP),
      ms: performance.now() - started,
    });
    return;
  }
  using video = await openVideo(request.file);
  const result = await predictVideo(ready, video, {
    window: request.window,
    onProgress: (done, of) => tell({ tell: "progress", video: number, done, of }),
  });
  tell({ tell: "result", video: number, result });
}

let queue = Promise.resolve();
scope.onmessage = ({ data }) => {
  queue = queue.then(() => answer(data)).catch((error) => {
    const { message } = error as Error;
    tell({ tell: "failed", video: data.do === "model" ? null : data.video, message });
  });
};
