/** Worker of the decode pool: takes one clip request at a time, gives its frames back by transfer. */
import { type ClipRequest, decodeClip, type DecodedClip } from "./frames.ts";

/** A request with the number its answer will carry. */
export interface DecodeJob extends ClipRequest {
  readonly id: number;
}

/** The worker's answer: a clip, or an error that is not the clip's own fault. */
export type DecodeAnswer =
  | { readonly id: number; readonly clip: DecodedClip }
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
    const clip = await decodeClip(job);
    scope.postMessage({ id: job.id, clip }, [clip.frames.buffer]);
  } catch (error) {
    scope.postMessage({ id: job.id, error: error instanceof Error ? error.message : String(error) }, []);
  }
}
