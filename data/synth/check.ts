/** What must hold of the options of a synthetic set. */
import { ConfigError } from "../../lib/errors.ts";
import { COLOURS, SHAPES } from "./looks.ts";
import { MOTIONS } from "./motion.ts";
import { isCaptioned, SYNTH_KINDS, type SynthOptions } from "./options.ts";
import { scenesOf } from "./sentences.ts";

/** What must hold, in words, and the current value. */
type Rule = [holds: boolean, rule: string, value: unknown];

/**
 * Refuses options of which no sensible data set comes.
 *
 * @throws {ConfigError} for the first rule that does not hold
 */
export function checkSynthOptions(options: SynthOptions): void {
  if (!Object.hasOwn(SYNTH_KINDS, options.kind)) {
    refuse(`kind must be one of ${Object.keys(SYNTH_KINDS).join(", ")}`, options.kind);
  }
  for (const rules of [commonRules, KIND_RULES[options.kind]]) {
    for (const [holds, rule, value] of rules(options)) if (!holds) refuse(rule, value);
  }
}

function refuse(rule: string, value: unknown): never {
  throw new ConfigError(`Cannot synthesize clips: ${rule}, current value is ${JSON.stringify(value)}`);
}

function commonRules(options: SynthOptions): Rule[] {
  const { trainClips, valClips, speed, radius, width, height } = options, shortSide = Math.min(width, height);
  return [
    [
      [trainClips, valClips].every((n) => Number.isInteger(n) && n >= 1),
      "clips a split must be at least 1",
      [trainClips, valClips],
    ],
    [[width, height].every((n) => Number.isInteger(n) && n >= 16), "width and height must be at least 16", [
      width,
      height,
    ]],
    [
      speed[0] > 0 && speed[1] >= speed[0] && speed[1] <= shortSide / 4,
      "speed must be [least, greatest] in 0 … short side / 4",
      speed,
    ],
    [
      radius[0] > 0 && radius[1] >= radius[0] && radius[1] <= 0.35,
      "radius must be [least, greatest] in 0 … 0.35",
      radius,
    ],
    [
      ["plain", "gradient", "noise"].includes(options.background),
      "background must be plain, gradient or noise",
      options.background,
    ],
    [
      Number.isInteger(options.quality) && options.quality >= 1 && options.quality <= 100,
      "quality must be in 1 … 100",
      options.quality,
    ],
    [Number.isSafeInteger(options.seed) && options.seed >= 0, "seed must be an integer from 0", options.seed],
  ];
}

/** What holds of some kinds only. */
const KIND_RULES: Record<SynthOptions["kind"], (options: SynthOptions) => Rule[]> = {
  motions: (options) => [
    ...movingRules(options),
    [options.shapes.length === 0, "shapes must be left out where clips have classes", options.shapes],
    [options.colours.length === 0, "colours must be left out where clips have classes", options.colours],
    [!options.paces, "paces must be left out where clips have classes", options.paces],
  ],
  captioned_pictures: (options) => [
    [
      [options.framesPerClip].flat().every((n) => n === 1) && [options.framesPerClip].flat().length > 0,
      "frames of a picture must be 1",
      options.framesPerClip,
    ],
    [
      options.classes.length === 0,
      "classes must be left out for pictures, which do not move",
      options.classes,
    ],
    [!options.paces, "paces must be left out for pictures, which do not move", options.paces],
    ...sentenceRules(options),
  ],
  captioned_clips: (options) => [
    ...movingRules(options),
    [
      !options.colours.includes("black"),
      "colours must be left without black, which does not show on the dark background of clips",
      options.colours,
    ],
    ...sentenceRules(options),
  ],
};

function movingRules({ framesPerClip, classes }: SynthOptions): Rule[] {
  return [
    [
      [framesPerClip].flat().every((n) => Number.isInteger(n) && n >= 2) && [framesPerClip].flat().length > 0,
      "frames a clip must be at least 2",
      framesPerClip,
    ],
    [isSetOf(classes, classes, 2), "classes must be at least 2 different motions", classes],
    [
      isSetOf(classes, Object.keys(MOTIONS), 2),
      `classes must be of ${Object.keys(MOTIONS).join(", ")}`,
      classes,
    ],
  ];
}

/** What sentences speak of, and that there are enough of them. */
function sentenceRules(options: SynthOptions): Rule[] {
  const { kind, shapes, colours, valClips } = options;
  const known: Rule[] = [
    [isSetOf(shapes, SHAPES, 1), `shapes must be different ones of ${SHAPES.join(", ")}`, shapes],
    [isSetOf(colours, COLOURS, 1), `colours must be different ones of ${COLOURS.join(", ")}`, colours],
  ];
  if (known.some(([holds]) => !holds) || !isCaptioned(options)) return known;
  const [train, val] = (["train", "val"] as const).map((split) => scenesOf(options, split).length);
  const ofWhat = kind === "captioned_pictures" ? "pairs of shape and colour that are kept for it" : "scenes";
  return [
    [
      train > 0 && val > 0,
      "shapes and colours must leave pairs of both for training and for validation",
      { shapes, colours },
    ],
    [
      valClips <= val,
      `validation clips must be at most ${val}, as many as there are different sentences about the ${ofWhat}`,
      valClips,
    ],
  ];
}

/** Whether names are different, known, and so many at least. */
function isSetOf(names: readonly string[], known: readonly string[], least: number): boolean {
  return names.length >= least && new Set(names).size === names.length &&
    names.every((name) => known.includes(name));
}
