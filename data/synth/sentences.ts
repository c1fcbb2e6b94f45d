/**
 * What captioned pictures and clips show and the sentences that say it: "a large red circle on a blue background",
 * "a green square moves left".
 */
import { type ColourName, COLOURS, isHeldOut, type Look, SHAPE_NAMES } from "./looks.ts";
import { isTurn, type Motion, MOTIONS } from "./motion.ts";
import { CAPTIONED_KINDS, synthDefaults, type SynthOptions, type SynthSplit } from "./options.ts";

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
}

/** A scene as a sentence; no two scenes have the same. */
export function sentenceOf({ shape, colour, background, size, motion }: Scene): string {
  return [
    withArticle([size, colour, SHAPE_NAMES[shape]].filter((word) => word !== null).join(" ")),
    motion && MOTIONS[motion],
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
  { kind, classes, shapes, colours }: Pick<SynthOptions, "kind" | "classes" | "shapes" | "colours">,
  split: SynthSplit,
): Scene[] {
  const looks: Look[] = colours.flatMap((colour) => shapes.map((shape) => ({ shape, colour })));
  if (kind === "captioned_clips") {
    return looks.flatMap((look) =>
      classes.filter((motion) => look.shape !== "disc" || !isTurn(motion))
        .map((motion) => ({ ...look, size: null, background: null, motion }))
    );
  }
  return looks.filter((look) => isHeldOut(look) === (split === "val")).flatMap((look) =>
    COLOURS.filter((background) => background !== look.colour)
      .flatMap((background) => SIZES.map((size) => ({ ...look, size, background, motion: null })))
  );
}

/** Every sentence of the two captioned kinds as they are by default, together. */
export function captionedSentences(): string[] {
  return CAPTIONED_KINDS.map(synthDefaults).flatMap((options) =>
    (["train", "val"] as const).flatMap((split) => scenesOf(options, split).map(sentenceOf))
  );
}
