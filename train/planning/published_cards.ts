/**
 * Peaks of cards as their makers publish them, for plans for a card that is not here: f32 and f16 arithmetic without matrix units
 * (WebGPU reaches none), in TFLOP/s at the boost clock, and the memory's GB/s.
 */

import { nearestName } from "../../lib/nearest_name.ts";
import type { AdapterRates } from "./rates.ts";

/** f32 and f16 in TFLOP/s, memory in GB/s; f16 null: not published. */
type Card = readonly [f32: number, f16: number | null, memory: number];

const CARDS: Readonly<Record<string, Card>> = {
  // NVIDIA, data sheets and architecture papers of Turing, Volta, Ampere, Ada and Hopper (nvidia.com/en-us/data-center).
  "T4": [8.1, 16.2, 320], // "NVIDIA Turing GPU Architecture", WP-09183
  "V100": [15.7, 31.4, 900], // SXM2; "NVIDIA Tesla V100 GPU Architecture", WP-08608
  "A10": [31.2, 31.2, 600], // A10 data sheet
  "A100": [19.5, 78, 1555], // 40 GB; "NVIDIA A100 Tensor Core GPU Architecture", table 1
  "A100 80GB": [19.5, 78, 2039], // SXM; A100 data sheet
  "L4": [30.3, 30.3, 300], // L4 data sheet
  "L40S": [91.6, 91.6, 864], // L40S data sheet
  "H100": [66.9, 133.8, 3350], // SXM5; "NVIDIA H100 Tensor Core GPU Architecture", table 1
  "H100 PCIe": [51.2, 102.4, 2000], // the same
  "H200": [66.9, 133.8, 4800], // H200 data sheet
  // NVIDIA GeForce: "GeForce RTX 20, 30, 40 and 50 series" product pages and the appendices of the papers on Turing, Ampere GA102,
  // Ada and Blackwell; f16 outside of tensor cores runs at f32's rate from Ampere on, at twice that on Turing.
  "RTX 2080 Ti": [13.4, 26.9, 616],
  "RTX 3060": [12.7, 12.7, 360],
  "RTX 3060 Ti": [16.2, 16.2, 448],
  "RTX 3070": [20.3, 20.3, 448],
  "RTX 3080": [29.8, 29.8, 760],
  "RTX 3090": [35.6, 35.6, 936],
  "RTX 4060": [15.1, 15.1, 272],
  "RTX 4060 Ti": [22.1, 22.1, 288],
  "RTX 4070": [29.1, 29.1, 504],
  "RTX 4070 Ti": [40.1, 40.1, 504],
  "RTX 4080": [48.7, 48.7, 717],
  "RTX 4090": [82.6, 82.6, 1008],
  "RTX 5070": [30.9, 30.9, 672],
  "RTX 5070 Ti": [43.9, 43.9, 896],
  "RTX 5080": [56.3, 56.3, 960],
  "RTX 5090": [104.8, 104.8, 1792],
  // AMD, product pages (amd.com/en/products/graphics); RDNA 3's and 4's figures count two issues a cycle.
  "RX 6700 XT": [13.2, 26.4, 384],
  "RX 6800 XT": [20.7, 41.5, 512],
  "RX 7800 XT": [37.3, 74.6, 624],
  "RX 7900 XT": [51.5, 103, 800],
  "RX 7900 XTX": [61.4, 122.8, 960],
  "RX 9070 XT": [48.7, 97.3, 640],
  // Intel, ark.intel.com: vector engines, 16 f32 operations each and cycle (Xe) or 32 (Xe2), at the graphics clock.
  "Arc A750": [14.7, 29.4, 512],
  "Arc A770": [17.2, 34.4, 560],
  "Arc B580": [13.7, 27.3, 456],
  // Apple, newsroom texts on M1, M1 Pro and Max, M1 Ultra and M2; for later ones Apple gives no arithmetic: cores × 128 × 2 at
  // 1.4 GHz (M2 Pro and Max, M3), 1.5 GHz (M4). The most cores of each; f16 runs at f32's rate.
  "M1": [2.6, 2.6, 68],
  "M1 Pro": [5.2, 5.2, 200],
  "M1 Max": [10.4, 10.4, 400],
  "M1 Ultra": [21, 21, 800],
  "M2": [3.6, 3.6, 100],
  "M2 Pro": [6.8, 6.8, 200],
  "M2 Max": [13.6, 13.6, 400],
  "M2 Ultra": [27.2, 27.2, 800],
  "M3": [3.6, 3.6, 100],
  "M3 Pro": [6.5, 6.5, 150],
  "M3 Max": [14.3, 14.3, 400],
  "M4": [3.8, 3.8, 120],
  "M4 Pro": [7.7, 7.7, 273],
  "M4 Max": [15.4, 15.4, 546],
};

/** What is assumed of every card: PCIe 4.0's half, and a launch among its like. */
const UPLOAD_GBPS = 12, LAUNCH_US = 5;

/** Names of the cards. */
export const PUBLISHED_CARDS: readonly string[] = Object.keys(CARDS);

/**
 * A card by its name as people and drivers write it: in whatever case, with its maker, the size and kind of its memory, its slot and the
 * driver's words around it. A name with a word more is another card: "RTX 4090 Laptop GPU", "A10G".
 *
 * @example `publishedCard("NVIDIA H100 80GB HBM3")?.adapter` is "H100"
 */
export function publishedCard(name: string): AdapterRates | null {
  const found = cardNamed(name);
  if (found === undefined) return null;
  const [f32, f16, memory] = CARDS[found];
  return {
    adapter: found,
    measured: null,
    peaks: {
      f32_gflops: 1000 * f32,
      f16_gflops: f16 === null ? null : 1000 * f16,
      copy_gbps: memory,
      workgroup_gbps: 0,
      upload_gbps: UPLOAD_GBPS,
      launch_us: LAUNCH_US,
    },
    points: [],
  };
}

/** The card whose name a name that is not known is nearest to; undefined: none is near. */
export function nearestCard(name: string): string | undefined {
  const words = wordsOf(name);
  const within = PUBLISHED_CARDS.filter((card) => wordsOf(card).every((word) => words.includes(word)));
  return within.sort((a, b) => b.length - a.length).at(0) ?? nearestName(name, PUBLISHED_CARDS);
}

/** What drivers write around a card's name. */
const AROUND = /^(nvidia|geforce|tesla|amd|radeon|mesa|intel|apple|graphics|gpu|pcie?|sse2|sxm\d?|hbm\d?e?)$/;
/** Of memory, around the names of accelerators: where sizes differ in speed, CARDS has both. A GeForce of another size is another chip. */
const SIZE = /^\d+gb$/, IS_ACCELERATOR = /^[a-z]+\d+[a-z]?$/;

/** The card all of whose words stand in a name, which has no others but those around; of several the one with the most words. */
function cardNamed(name: string): string | undefined {
  const words = wordsOf(name.replace(/\([^()]*\)/g, " ")), joined = words.join("");
  return PUBLISHED_CARDS.filter((card) => {
    const own = wordsOf(card);
    return own.join("") === joined.replace(/^(nvidia|geforce|amd|radeon|intel|apple)+/, "") ||
      own.every((word) => words.includes(word)) &&
        words.every((word) =>
          own.includes(word) || AROUND.test(word) || SIZE.test(word) && IS_ACCELERATOR.test(own[0])
        );
  }).sort((a, b) => wordsOf(b).length - wordsOf(a).length).at(0);
}

/** Words and numbers of a name: "A100-SXM4-80GB" has three. */
function wordsOf(name: string): string[] {
  return name.toLowerCase().match(/[a-z0-9]+/g) ?? [];
}
