/** What tests ask a browser to do with this project's modules: a bundle of it runs in a page of its own (`_browser.ts`). */
import { openCheckpointFile, selectWeights } from "../../data/checkpoint/contents.ts";
import { openGpu } from "../../gpu/device.ts";
import { SYSTEMS } from "../../models/registry.ts";
import { replayClipCase } from "../../train/parity/clip_vit.ts";
import type { GroupResult } from "../../train/parity/compare.ts";
import { referenceCase } from "../../train/parity/reference.ts";
import { replayVideoCase } from "../../train/parity/video_case.ts";
import { openVideo } from "../../web/video.ts";

/** What the page offers. Bytes cross as base64. */
export interface Harness {
  /** Replays a recorded case. */
  replay(description: string, tensors: string): Promise<GroupResult[]>;
  /** Frames of a video as RGB, with the time of each. */
  decode(video: string): Promise<{ width: number; height: number; times: number[]; rgb: string }>;
  /** The first complaint of the shader compiler about each of some kernels, where there is one. */
  compile(kernels: readonly { label: string; code: string; entryPoint: string }[]): Promise<string[]>;
  features(): Promise<string[]>;
}

const bytesOf = (text: string) => Uint8Array.fromBase64(text);

const harness: Harness = {
  async replay(text, tensors) {
    const bytes = bytesOf(tensors), description = JSON.parse(text);
    const source = {
      sizeBytes: bytes.length,
      read: (at: number, length: number) => Promise.resolve(bytes.slice(at, at + length)),
    };
    const reference = referenceCase(
      selectWeights(await openCheckpointFile(source, { label: "case" }), { key: "" }),
      { case: "case", ...description },
    );
    using gpu = await openGpu();
    for (const system of SYSTEMS) {
      const form = system.cases.find(({ system }) => system === description.system);
      if (form) return await replayVideoCase(gpu, reference, { system, form, recompute: true });
    }
    return await replayClipCase(gpu, reference);
  },

  async decode(text) {
    using video = await openVideo(new File([bytesOf(text)], "video"));
    const times = [...video.times.frames], parts: Uint8Array<ArrayBuffer>[] = [];
    let size = { width: 0, height: 0 };
    for await (const { picture } of video.frames(times.map((_, i) => i))) {
      size = picture;
      parts.push(picture.rgb);
    }
    const rgb = new Uint8Array(await new Blob(parts).arrayBuffer());
    return { width: size.width, height: size.height, times, rgb: rgb.toBase64() };
  },

  async compile(kernels) {
    using gpu = await openGpu();
    const complaints: string[] = [];
    for (const { label, code } of kernels) {
      gpu.device.pushErrorScope("validation");
      gpu.device.createShaderModule({ label, code });
      const error = await gpu.device.popErrorScope();
      if (error) complaints.push(`${label}: ${error.message}`);
    }
    return complaints;
  },

  async features() {
    using gpu = await openGpu();
    return [...gpu.features];
  },
};

Object.assign(globalThis, { harness });
