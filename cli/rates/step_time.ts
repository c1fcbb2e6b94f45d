/** The time of a step in a plan: from what was measured on this adapter, or from what is published of another. */
import { ConfigError } from "../../lib/errors.ts";
import { formatCount, formatShare } from "../../lib/text.ts";
import { loopBatches, type TrainingSet } from "../../train/feed/training_set.ts";
import { nearestCard, PUBLISHED_CARDS, publishedCard } from "../../train/planning/published_cards.ts";
import type { RecipePlan } from "../../train/planning/plan_recipe.ts";
import {
  type AdapterRates,
  ASSUMED_SHARE,
  halfGain,
  type Peaks,
  ratesKey,
} from "../../train/planning/rates.ts";
import { stepTime } from "../../train/planning/step_time.ts";
import type { Config } from "../../train/recipe/config.ts";
import type { Io } from "../shared/output.ts";
import { knownRates } from "./file.ts";

/** Ops that are named beside the time. */
const NAMED = 3;

/**
 * The rates to plan with. Without any that are measured no GPU is looked for.
 *
 * @param name A card's, as people or drivers write it; absent: the adapter that is here.
 * @returns null where nothing has been measured on this adapter
 * @throws {ConfigError} when nothing is known of the card
 */
export async function ratesToPlan(name: string | undefined, io: Io): Promise<AdapterRates | null> {
  const known = await knownRates(io);
  if (name !== undefined) {
    const words = name.trim().toLowerCase(), measured = [...known.values()];
    const found = measured.find(({ adapter }) => adapter.toLowerCase() === words) ?? publishedCard(name) ??
      measured.find(({ adapter }) => words !== "" && adapter.toLowerCase().startsWith(words)) ?? null;
    if (found !== null) return found;
    const all = [...measured.map(({ adapter }) => adapter), ...PUBLISHED_CARDS];
    const alike = words === "" ? [] : all.filter((card) => card.toLowerCase().includes(words));
    const nearest = alike.length > 0 ? undefined : nearestCard(name);
    throw new ConfigError(
      `Cannot plan for adapter "${name}": nothing is known of it; ` +
        (nearest ? `the nearest name is "${nearest}", and ` : "") +
        `${alike.length > 0 ? "names with that in them" : "known names"} are ${
          (alike.length > 0 ? alike : all).join(", ")
        }`,
    );
  }
  if (known.size === 0) return null;
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  return adapter ? known.get(ratesKey(adapter.info)) ?? null : null;
}

/** Prints the time of a step, and of an epoch where its clips are known. @returns The same for JSON. */
export function printStepTime(
  planned: RecipePlan,
  { rates, config, set }: { rates: AdapterRates | null; config: Config; set: TrainingSet | null },
  io: Io,
) {
  if (rates === null) {
    io.print(
      `  step time             unknown until "${io.program} bench peak" has run on this adapter (half a minute on a GPU); --adapter NAME estimates it for a card`,
    );
    return { step_seconds: null, step_seconds_from: null, epoch_seconds: null };
  }
  const { adapter, measured } = rates, time = stepTime(planned.step, rates);
  const clips = planned.clips * planned.step.batches / time.seconds;
  const largest = time.byOp.slice(0, NAMED)
    .map(({ op, seconds }) => `${op} ${formatShare(seconds / time.seconds, 0)}`).join(", ");
  io.print(
    `  step time             about ${seconds(time.seconds)}, ${
      clips < 1000 ? clips.toPrecision(clips < 10 ? 2 : 3) : formatCount(Number(clips.toPrecision(3)))
    } clips/s: estimated from ` +
      (measured === null
        ? `the published peaks of ${adapter}, with kernels at ${
          100 * ASSUMED_SHARE.arithmetic
        } % of its arithmetic and ${100 * ASSUMED_SHARE.memory} % of its memory`
        : `rates measured on ${adapter} (${measured}); ${largest}`),
  );
  if (planned.step.multipliesHalves) io.print(`  arithmetic f16        ${describeHalves(rates.peaks)}`);
  const batches = epochBatches(config, set);
  const epochSeconds = batches && time.seconds / planned.step.batches * batches;
  if (epochSeconds !== null) {
    io.print(
      `  an epoch              about ${seconds(epochSeconds)} for ${
        formatCount(Math.ceil(batches!))
      } batches, without evaluation and waiting for clips`,
    );
  }
  return {
    step_seconds: time.seconds,
    step_seconds_from: { adapter, measured, kernels: time.kernelSeconds, uploads: time.uploadSeconds },
    epoch_seconds: epochSeconds,
  };
}

/** What products in f16 are taken to cost. */
function describeHalves(peaks: Peaks): string {
  const gain = halfGain(peaks);
  if (gain === null) return "not counted: its rate is not known there";
  return gain === 1
    ? "changes nothing: it is no faster there than f32"
    : `counted: the backbone's products at ${
      gain.toFixed(1)
    } times the rate of f32, as far as memory keeps up`;
}

/** Batches of an epoch; null where its clips are not known. */
function epochBatches(config: Config, set: TrainingSet | null): number | null {
  const { data: { synth }, solver: { folds } } = config;
  const loopClips = set?.loopClips ?? (synth === null ? null : synth.train_clips * folds);
  return loopClips === null ? null : loopBatches(config, { loopClips }).batches / folds;
}

function seconds(value: number): string {
  if (value < 1) return `${(1000 * value).toPrecision(3)} ms`;
  if (value < 120) return `${value.toPrecision(3)} s`;
  const minutes = Math.round(value / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
