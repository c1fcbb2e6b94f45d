/** The Worker that owns the GPU: it waits for the GPU so that nobody else has to. Speaks the calls of `session_client.ts`. */

import { openGpu } from "../gpu/device.ts";
import { AdapterError } from "../lib/errors.ts";
import { createModel, type ModelSpec } from "../models/mod.ts";
import { freeMemory, planFittingSession, refusedError } from "./fit.ts";
import { Session } from "./session.ts";
import { OutOfMemoryError, type SessionOptions } from "./session_plan.ts";
import type { TunedChoices } from "./tuned.ts";
import type { OpenedSession, WorkerCall, WorkerReply } from "./session_client.ts";

let session: Session | null = null;

/** Options without what only the device knows. */
export type RemoteSessionOptions = Omit<SessionOptions, "limits"> & {
  /** Clips that one video of the batch becomes, for advice on a batch that fits. */
  clipsPerVideo: number;
  /** Measured kernel choices of this machine. */
  choices?: TunedChoices;
};

async function open(
  spec: ModelSpec,
  { clipsPerVideo, choices, ...remote }: RemoteSessionOptions,
): Promise<OpenedSession> {
  const gpu = await openGpu({ choices }), model = createModel(spec);
  if (spec.backboneDtype === "f16" && !gpu.features.has("shader-f16")) {
    gpu[Symbol.dispose]();
    throw new AdapterError(
      `Cannot use precision f16 on adapter "${gpu.name}": it must have the feature shader-f16; use precision=f32`,
    );
  }
  const limits = { maxBindingBytes: gpu.maxBindingBytes, maxBufferBytes: gpu.maxBufferBytes };
  const options = { ...remote, limits };
  try {
    const plan = planFittingSession(model, options, gpu, { freeBytes: await freeMemory(gpu), clipsPerVideo });
    session = await Session.open(gpu, model, options, plan);
  } catch (error) {
    gpu[Symbol.dispose]();
    if (!(error instanceof OutOfMemoryError)) throw error;
    throw refusedError(model, options, gpu, { neededBytes: error.neededBytes, clipsPerVideo });
  }
  return {
    adapter: gpu.name,
    memory: session.memory,
    allocatedBytes: session.allocatedBytes,
    launches: session.launches,
  };
}

async function handle({ method, args }: WorkerCall): Promise<unknown> {
  if (method === "open") return await open(...(args as Parameters<typeof open>));
  if (!session) throw new Error(`Cannot call "${method}": the session must be open`);
  switch (method) {
    case "step":
      return await session.step(...(args as Parameters<Session["step"]>));
    case "initialise":
      return session.initialise(...(args as Parameters<Session["initialise"]>));
    case "write":
      return session.write(...(args as Parameters<Session["write"]>));
    case "restoreSteps":
      return session.restoreSteps(...(args as [number, number]));
    case "read":
      return await session.read(...(args as Parameters<Session["read"]>));
    case "growUploads":
      return session.growUploads(...(args as Parameters<Session["growUploads"]>));
    case "readLosses":
      return await session.readLosses();
    case "evaluate":
      return await session.evaluate(...(args as Parameters<Session["evaluate"]>));
    case "close":
      await session.finish();
      session[Symbol.dispose]();
      session = null;
      return undefined;
  }
}

/** What this file uses of the Worker's global scope; the project is checked against the window's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerCall>) => void) | null;
  postMessage(message: WorkerReply): void;
}

const scope = self as unknown as WorkerScope;

scope.onmessage = async (event: MessageEvent<WorkerCall>) => {
  const { id } = event.data;
  try {
    reply({ id, value: await handle(event.data) });
  } catch (error) {
    const { name, message, stack, exitCode } = error as Error & { exitCode?: number };
    reply({ id, error: { name, message, stack, exitCode } });
  }
};

function reply(message: WorkerReply): void {
  scope.postMessage(message);
}
