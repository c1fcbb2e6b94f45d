/**
 * What captioned pictures and clips show and the sentences that say it: "a large red circle on a blue background",
 * "a green square moves left".
 */
import { type ColourName, COLOURS, isHeldOut, type Look, SHAPE_NAMES, SHAPES } from "./looks.ts";
import { isTurn, type Motion, MOTIONS, type Pace, PACES, wordsOf } from "./motion.ts";
import { synthDefaults, type SynthOptions, type SynthSplit } from "./options.ts";

/** Sizes in words. */
export const SIZES = ["small", "large"] as const;

/** What a sentence says. */
export interface Scene extends Look {
  /** Said of pictures; null: any. */
  readonly size: (typeof SIZES)[number] | null;
  /** Said of pictures; null: nearly black. */
  readonly background: ColourName | null;
  /** Said of clips. */
  readonly motion: Motion | null;
  /** Said of clips that move, where sentences say it; null: any. */
  readonly pace: Pace | null;
}

/** A scene as a sentence; no two scenes have the same. */
export function sentenceOf({ shape, colour, background, size, motion, pace }: Scene): string {
  return [
    withArticle([size, colour, SHAPE_NAMES[shape]].filter((word) => word !== null).join(" ")),
    motion && wordsOf(motion, pace),
    background && `on ${withArticle(background)} background`,
  ].filter((part) => part !== null).join(" ");
}

function withArticle(words: string): string {
  return `${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;
}

/**
 * Every scene of a split, one look after another: sentences that differ in the motion, the size or the background alone stand together.
 * Pictures of the splits have different looks, clips the same. Discs do not turn, as nobody would see it.
 */
export function scenesOf(
  { kind, classes, shapes, colours, paces }: Pick<
    SynthOptions,
    "kind" | "classes" | "shapes" | "colours" | "paces"
  >,
  split: SynthSplit,
): Scene[] {
  const looks: Look[] = colours.flatMap((colour) => shapes.map((shape) => ({ shape, colour })));
  if (kind === "captioned_clips") {
    return looks.flatMap((look) =>
      classes.filter((motion) => look.shape !== "disc" || !isTurn(motion))
        .flatMap((motion) =>
          pacesOf(motion, paces).map((pace) => ({ ...look, size: null, background: null, motion, pace }))
        )
    );
  }
  return looks.filter((look) => isHeldOut(look) === (split === "val")).flatMap((look) =>
    COLOURS.filter((background) => background !== look.colour)
      .flatMap((background) => SIZES.map((size) => ({ ...look, size, background, motion: null, pace: null })))
  );
}

/** What a sentence says of how fast a motion is. */
function pacesOf(motion: Motion, paces: boolean): readonly (Pace | null)[] {
  return paces && motion !== "still" ? PACES : [null];
}

/** Every sentence that the two captioned kinds can have, together. */
export function captionedSentences(): string[] {
  const pictures = synthDefaults("captioned_pictures");
  const clips = { ...synthDefaults("captioned_clips"), shapes: SHAPES, colours: COLOURS };
  const classes = Object.keys(MOTIONS) as Motion[];
  return [pictures, ...[false, true].map((paces) => ({ ...clips, classes, paces }))].flatMap((options) =>
    (["train", "val"] as const).flatMap((split) => scenesOf(options, split).map(sentenceOf))
  );
}
