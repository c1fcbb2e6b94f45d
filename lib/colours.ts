/** Colours of what a page tells apart by number, classes or runs: one each on the whole page. */

/** Colours that most people can tell apart (Okabe and Ito's), for those that are met first. */
const FIRST = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];
/** Turns around the circle of hues without coming near an earlier one for long. */
const GOLDEN_ANGLE = 137.508;
const WHITE = "#ffffff", BLACK = "#101214";

/** Gives colours in the order in which they are asked for. */
export class PageColours {
  readonly #places = new Map<number, number>();

  /** The colour of a number, always the same, as `#rrggbb`. */
  of(index: number): string {
    let place = this.#places.get(index);
    if (place === undefined) this.#places.set(index, place = this.#places.size);
    if (place < FIRST.length) return FIRST[place];
    const nth = place - FIRST.length;
    return hex({
      hue: (285 + nth * GOLDEN_ANGLE) % 360,
      saturation: 0.5,
      lightness: [0.42, 0.66, 0.54][nth % 3],
    });
  }
}

/** The ink that is read best on a colour. */
export function inkOn(colour: string): string {
  const light = luminance(colour);
  return (light + 0.05) ** 2 > 1.05 * (luminance(BLACK) + 0.05) ? BLACK : WHITE;
}

/** Relative luminance of a colour, as the Web Content Accessibility Guidelines define it. */
function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function hex({ hue, saturation, lightness }: { hue: number; saturation: number; lightness: number }): string {
  const spread = saturation * Math.min(lightness, 1 - lightness);
  const channel = (offset: number) => {
    const k = (offset + hue / 30) % 12;
    const value = lightness - spread * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}
