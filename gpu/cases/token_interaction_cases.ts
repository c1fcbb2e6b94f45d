import type { CaseTable, OpCase } from "./op_case.ts";

/** Shapes of the inputs, and masks of sentences and clips of every length. */
function pairs(
  name: string,
  [A, L, B, T, D]: readonly [number, number, number, number, number],
  more: Partial<OpCase> = {},
): OpCase {
  return {
    name,
    inputs: {
      words: [A, L, D],
      frames: [B, T, D],
      wordMask: [A, L],
      frameMask: [B, T],
      alpha: [A, L],
      beta: [B, T],
    },
    constant: ["wordMask", "frameMask"],
    ...more,
    values: {
      wordMask: (i) => i % L <= (5 * Math.floor(i / L) + 1) % L ? 1 : 0,
      frameMask: (i) => i % T <= (3 * Math.floor(i / T) + 1) % T ? 1 : 0,
      ...more.values,
    },
  };
}

/** Shapes of what the gradient of rows reads; whole numbers below T and L as places. */
function flows(
  name: string,
  [A, L, B, T, D]: readonly [number, number, number, number, number],
  more: Partial<OpCase> = {},
): OpCase {
  return {
    name,
    inputs: {
      flow: [A, B],
      weight: [A, L],
      mask: [A, L],
      best: [A, L, B],
      others: [B, T, D],
      otherWeight: [B, T],
      otherMask: [B, T],
      otherBest: [B, T, A],
    },
    values: {
      mask: (i) => i % 5 === 3 ? 0 : 1,
      otherMask: (i) => i % 7 === 3 ? 0 : 1,
      best: (i) => (i * 11 + 5) % T,
      otherBest: (i) => (i * 13 + 2) % L,
    },
    ...more,
  };
}

export const cases: CaseTable = {
  tokenInteraction: [
    pairs("everything one", [1, 1, 1, 1, 1]),
    pairs("one word, one frame", [3, 1, 5, 1, 7]),
    pairs("one sentence, several clips", [1, 7, 4, 3, 5]),
    pairs("several sentences, one clip", [5, 3, 1, 6, 4]),
    pairs("primes, parts of several sentences", [11, 5, 7, 3, 13], { attrs: { scores: 1 } }),
    pairs("a part for each sentence", [3, 4, 5, 7, 16], { attrs: { scores: 1 } }),
    pairs("longest sentences, many frames", [2, 77, 2, 64, 3]),
    pairs("f16", [3, 5, 4, 3, 8], { dtypes: { words: "f16", frames: "f16" } }),
    pairs("128 sentences and clips, ViT-B", [128, 32, 128, 12, 512], { bench: true }),
  ],
  tokenInteractionDRows: [
    flows("everything one", [1, 1, 1, 1, 1]),
    flows("primes, parts of several sentences", [11, 5, 7, 3, 13], { attrs: { scores: 1 } }),
    flows("a part for each sentence", [3, 4, 5, 7, 16], { attrs: { scores: 1 } }),
    flows("longest sentences, many frames", [2, 77, 2, 64, 3]),
    flows("128 sentences and clips, ViT-B", [128, 32, 128, 12, 512], { bench: true }),
  ],
};
