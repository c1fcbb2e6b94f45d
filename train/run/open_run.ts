/**
 * Opens a run: reads its lists, looks at its clips, plans and builds its session and fills it with weights or a saved state.
 */

import type { ClipRecord } from "../../data/datasets/list.ts";
import type { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { ALONE, type World } from "../../mpi/world.ts";
import { ConfigError } from "../../lib/errors.ts";
import { createModel } from "../../models/mod.ts";
import { savedRun } from "../files/checkpoint.ts";
import { readClassTexts } from "../files/class_texts.ts";
import type { RunState } from "../files/run_state.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { type Features, openFeatures } from "../features/reader.ts";
import {
  announceFrameCache,
  describeFrameCache,
  openRunCache,
  settleFrameCache,
  withoutFrameCache,
} from "../feed/frame_cache.ts";
import { isFolder } from "../recipe/frame_cache.ts";
import { largestFrame } from "../feed/probe.ts";
import { cropRefusal, requireHostMemory } from "../feed/frame_room.ts";
import { requireReadableSplits } from "../feed/readable.ts";
import { EventLog } from "../files/tensorboard.ts";
import { requireSameModel } from "../recipe/same_model.ts";
import { isSteady, requirePlace, resumeRemarks } from "./position.ts";
import { inParts, prepareRun } from "./prepare.ts";
import { remarksOnLists } from "../feed/list_remarks.ts";
import { classNames, readSplit } from "../feed/lists.ts";
import { withFoundModality } from "../feed/modality.ts";
import { trainingSpec } from "../recipe/model.ts";
import { loopBatches, readTrainingSet, type TrainingSet } from "../feed/training_set.ts";
import { describeParts, singleClipNotes } from "../runtime/fit.ts";
import { rankClips } from "../runtime/micro_batches.ts";
import { openSession } from "../runtime/open_session.ts";
import type { Session } from "../runtime/session.ts";
import { clipsPerBatch, halvesNeed, sessionOptions, taskOfRecipe } from "../tasks/session_options.ts";
import type { Encoder } from "../tasks/task.ts";
import type { TrainOptions } from "./options.ts";
import { idleRateRemarks } from "./schedule.ts";

/** What a run stands on. */
export interface RunData {
  set: TrainingSet;
  /** Of a loop. */
  batches: number;
  valClips: ClipRecord[];
  /** null where the backbone runs. */
  features: Features | null;
  frameCache: FrameCache | null;
  /** That of the validation clips. */
  valCache: FrameCache | null;
  labels: string[];
  /** Makes what batches bring. */
  encode: Encoder;
  /** For TensorBoard; null: it is not written for. */
  events: EventLog | null;
  /** Where the run stands: at its beginning, or where it goes on. */
  state: RunState;
}

/**
 * Refuses batches of which a rank would never have a clip.
 *
 * @throws {ConfigError}
 */
export function requireClipsForRanks(
  { data: { batch_size: batchSize } }: Config,
  { size }: Pick<World, "size">,
): void {
  if (batchSize >= size) return;
  throw new ConfigError(
    `Cannot train as ${size} ranks: data.batch_size must be at least their number, current value is ${batchSize}`,
  );
}

/**
 * Opens a run, new or resumed.
 *
 * @param stack Holds what is open; disposed of by who runs it.
 * @returns The recipe as it is run: with what was found and settled.
 */
export async function openRun(
  options: TrainOptions,
  stack: AsyncDisposableStack,
): Promise<{ config: Config; session: Session; data: RunData }> {
  const { folder, resume, world = ALONE } = options, { note, info, stage } = options.events ?? {};
  requireClipsForRanks(options.config, world);
  // Others would wait for a rank that has gone.
  const alone = world.size === 1 ? options.signal : undefined;
  stage?.({ what: "reading the lists" });
  let config = await withFoundModality(options.config, { splits: ["train", "val"], note });
  const saved = resume === undefined ? null : await savedRun(resume);
  if (saved !== null) requireSameModel(config, saved.recipe);
  const set = await readTrainingSet(config), valClips = await readSplit(config, "val", { note });
  const labels = await classNames(config), roots = dataRoots(config);
  for (const text of remarksOnLists(config, { ...set, train: set.clips, val: valClips })) note?.(text);
  const { batches, lastBatch } = loopBatches(config, set);
  for (const text of idleRateRemarks(config, { batchesPerLoop: batches })) note?.(text);
  const features = await openFeatures(config, { train: set.clips, val: valClips });
  if (saved !== null) requirePlace(set, saved, resume!);
  const remarks = saved === null ? [] : resumeRemarks(config, set, saved);
  const { lastBatch: resumedBatch } = loopBatches(config, set, saved?.state.clipsInEpoch);
  stage?.({ what: "looking at the clips" });
  if (!features) await requireReadableSplits(config, { train: set.clips, val: valClips }, options.signal);
  if (world.size > 1) config = withoutFrameCache(config, { note });
  const settled = await settleFrameCache(config, { clips: set.clips, folder: folder.path });
  config = settled.config;
  if (settled.note !== null) info?.(settled.note);
  const frameCache = stack.use(
    features ? null : await openRunCache(config, { folder: folder.path, warn: note }),
  );
  // A run's own holds training videos alone.
  const valCache = isFolder(config.data.frame_cache) ? frameCache : null;
  if (frameCache) {
    info?.(
      valCache || frameCache.clips > 0 ? describeFrameCache(frameCache) : announceFrameCache(frameCache),
    );
  }
  const side = config.data.input_size;
  const frame = features
    ? { width: side, height: side }
    : await largestFrame(config, [[roots.train, set.clips], [roots.val, valClips]], {
      signal: options.signal,
      stage,
      cached: [frameCache, valCache],
      refusals: [cropRefusal(config, "train"), cropRefusal(config, "val")],
    });
  const classTexts = resume === undefined ? await readClassTexts(config, { labels, signal: alone }) : null;
  const opened = await openSession(
    createModel(trainingSpec(config)),
    sessionOptions(config, { lastBatch, resumedBatch, largestFrame: frame, world }),
    {
      clipsPerVideo: config.data.num_sample,
      halves: halvesNeed(config, { stored: features !== null }),
      choices: options.choices,
      stage,
      signal: options.signal,
      early: options.early,
      world,
    },
  );
  const session = stack.use(opened.session),
    { data: { num_sample: copies }, solver: { mixup: pairs } } = config;
  const ofRank = (count: number) => rankClips(count, { rank: world.rank, ranks: world.size, copies, pairs });
  if (!features) requireHostMemory(config, frame, session.frameRoom);
  session.onGrow = ({ width, height }, bytes) =>
    note?.(
      `a frame is larger than expected: the upload buffers grow to ${width}x${height}, GPU memory is now ${bytes} bytes`,
    );
  for (const text of [...remarks, ...set.notes, ...features?.notes ?? []]) note?.(text);
  for (const text of opened.cards) note?.(text);
  const { against } = opened, clips = ofRank(clipsPerBatch(config));
  if (against !== null) {
    note?.(describeParts(session.model, { against, clips, parts: session.partsOf(clips) }));
  }
  for (const text of singleClipNotes(session, { clips, lastBatch: ofRank(lastBatch) })) note?.(text);
  const own = against === null ? config : inParts(config, session.partsOf(clips));
  const steady = saved === null || isSteady(config, set, saved);
  const storedFeatures = features !== null;
  const writes = world.rank === 0;
  const begin = {
    config: own,
    folder,
    resume,
    set,
    steady,
    storedFeatures,
    classTexts,
    note,
    writes,
    signal: alone,
  };
  alone?.throwIfAborted();
  stage?.({ what: "loading the weights" });
  const state = await prepareRun(session, begin);
  const encode = await taskOfRecipe(own).encoder(own, set);
  const events = stack.use(
    own.logging.tensorboard && world.rank === 0 ? await EventLog.in(folder.path, state) : null,
  );
  const data = { set, batches, valClips, features, frameCache, valCache, labels, encode, state, events };
  return { config: own, session, data };
}
