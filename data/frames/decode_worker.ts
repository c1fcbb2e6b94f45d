/** Worker of the decode pool: takes one clip request at a time, gives its frames back without a copy. */
import { transferOf } from "../../lib/shared_bytes.ts";
import { type ClipRequest, decodeClip } from "./decode.ts";
import type { DecodedClip } from "./decoded_clip.ts";
import { releasedFrames } from "./shared_garbage.ts";
import {
  type AsStoredRequest,
  copyFrames,
  type CopyRequest,
  decodeAsStored,
  decodeStored,
  encodePictures,
  type EncodeRequest,
  recodePictures,
  type RecodeRequest,
  type StoredPiece,
  type StoredRequest,
} from "../frame_cache/stored_frames.ts";

/** What a worker does with a kind of request. */
export type DecodeRequest =
  | ClipRequest
  | StoredRequest
  | AsStoredRequest
  | CopyRequest
  | EncodeRequest
  | RecodeRequest;

/** What comes of it. */
export type DecodeResult<R extends DecodeRequest> = R extends CopyRequest | EncodeRequest ? StoredPiece
  : R extends RecodeRequest ? { readonly frames: Uint8Array }
  : DecodedClip;

/** A request with the number its answer will carry. */
export type DecodeJob = DecodeRequest & { readonly id: number };

/** The worker's answer: what was asked for, or an error that is not the clip's own fault. */
export type DecodeAnswer =
  | { readonly id: number; readonly result: DecodeResult<DecodeRequest> }
  | { readonly id: number; readonly error: string };

interface WorkerScope {
  onmessage: ((event: MessageEvent<DecodeJob>) => void) | null;
  postMessage(message: DecodeAnswer, transfer: Transferable[]): void;
}

const scope = self as unknown as WorkerScope;
let previous: Promise<void> = Promise.resolve();

scope.onmessage = ({ data: job }) => {
  previous = previous.then(() => answer(job));
};

async function answer(job: DecodeJob): Promise<void> {
  try {
    const bytes = await send(job);
    // The clip, which the receiver holds from now on, and the pictures that it was put together from.
    releasedFrames(2 * bytes);
  } catch (error) {
    scope.postMessage({ id: job.id, error: error instanceof Error ? error.message : String(error) }, []);
  }
}

/** Does a job and answers it. @returns bytes of the answer */
async function send(job: DecodeJob): Promise<number> {
  const result = await resultOf(job), bytes = "frames" in result ? result.frames : result.bytes;
  const { length } = bytes; // nothing is left of what is given away
  scope.postMessage({ id: job.id, result }, transferOf([bytes]));
  return length;
}

async function resultOf(job: DecodeJob): Promise<DecodeResult<DecodeRequest>> {
  switch (job.task) {
    case undefined:
      return await decodeClip(job);
    case "stored":
      return await decodeStored(job);
    case "asStored":
      return await decodeAsStored(job);
    case "copy":
      return await copyFrames(job);
    case "encode":
      return await encodePictures(job);
    case "recode":
      return { frames: await recodePictures(job) };
  }
}
