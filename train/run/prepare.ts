/** Where a run begins: its weights on the GPU, from a seed, from files or from a state, and its folder ready for it. */

import { createModel } from "../../models/mod.ts";
import { systemOf } from "../../models/registry.ts";
import { type ClassTextValues, writeClassTexts } from "../files/class_texts.ts";
import { loadBackbone, loadTrained, openCheckpoint, restoreState } from "../files/checkpoint.ts";
import { cutEvents } from "../files/tensorboard.ts";
import type { RunFolder } from "../files/run_folder.ts";
import { initialState, type RunState } from "../files/run_state.ts";
import type { TrainingSet } from "../feed/training_set.ts";
import { type Config, formatConfig } from "../recipe/config.ts";
import { modelSpec } from "../recipe/model.ts";
import type { Session } from "../runtime/session.ts";

/**
 * Puts weights and state in place, and only then cuts the metrics back to the state and writes the config: what cannot be gone on
 * from stays as it is.
 *
 * @param options.resume State file to go on from.
 * @param options.steady Whether the run keeps its batches and clips (`RunState.steady`).
 * @param options.storedFeatures The backbone does not run.
 */
export async function prepareRun(
  session: Session,
  options: {
    config: Config;
    folder: RunFolder;
    resume?: string;
    set: TrainingSet;
    steady: boolean;
    storedFeatures: boolean;
    /** What was read of the classes' texts; null where the network reads none, or goes on with those of its state. */
    classTexts: ClassTextValues | null;
    note?: (text: string) => void;
    /** False where another rank writes the folder. */
    writes?: boolean;
    /** Ends it while first weights are read. */
    signal?: AbortSignal;
  },
): Promise<RunState> {
  const { config, folder, resume, set, steady, writes = true } = options;
  await prepareWeights(session, options);
  await session.beginAverages();
  const state = resume === undefined
    ? initialState(config.solver.start_epoch)
    : await restoreState(session, resume, options);
  state.set = set.id;
  state.steady = steady;
  if (!writes) return state;
  // Metrics are cut back to this state: from here on no other may be the run's.
  if (resume !== undefined && resume !== folder.file("state")) {
    await folder.write("state", (await Deno.open(resume)).readable);
  }
  await folder.cutMetrics(state.step, state.evaluated);
  await cutEvents(folder.path, state.step, state.evaluated);
  await folder.write("config", formatConfig(config));
  if (set.shotList !== null) await folder.write("shots", set.shotList);
  return state;
}

/** Puts a run's first weights in place: from a seed, the backbone's file and those to start from. */
export async function prepareWeights(
  session: Session,
  options: {
    config: Config;
    storedFeatures: boolean;
    classTexts: ClassTextValues | null;
    note?: (text: string) => void;
    signal?: AbortSignal;
  },
): Promise<void> {
  const { config, classTexts, signal } = options, { network, pretrain, seed, system } = config;
  const backbone = network.init && !options.storedFeatures ? network.weights : null;
  await session.initialise(seed, { frozen: backbone === null });
  if (backbone !== null) await loadBackbone(session, backbone, { signal });
  await session.computeConstants();
  await writeClassTexts(session, classTexts);
  if (pretrain === null) return;
  await using source = await openCheckpoint(pretrain);
  const left = await loadTrained(session, source, {
    system: systemOf(system),
    head: network.head,
    except: [...classTexts?.keys() ?? []], // its classes may be others
    signal,
  });
  if (left.length > 0) {
    options.note?.(`${left.join(", ")} of "${pretrain}" have another number of classes and start anew`);
  }
}

/** The recipe with the parts that were found, so that a resumed run has the same. */
export function inParts(config: Config, parts: readonly number[]): Config {
  return { ...config, data: { ...config.data, micro_batch_size: Math.max(...parts) } };
}

/** Scalars that train and that do not, of the whole network: the session's own has no tower where features are stored. */
export function parameterCounts(config: Config): { trainable: number; frozen: number } {
  const { weights } = createModel(modelSpec(config));
  return { trainable: weights.count("trained"), frozen: weights.count("frozen") };
}
