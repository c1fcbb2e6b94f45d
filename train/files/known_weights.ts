/** Checks weights against the published files whose checksums are known (spec side4video §1.2). */

import { openWeights } from "../../data/checkpoint/open.ts";
import { sha256OfFile } from "../../data/sha256.ts";
import { identify } from "../../models/identify.ts";
import { KNOWN_FILES, knownByHash, knownByName } from "../../models/known_files.ts";

/** What came of the check. */
export interface KnownCheck {
  readonly sha256: string;
  /** The published file this one is; null when it is none. */
  readonly is: string | null;
  /** The published file that its name, or the model in it, promises. */
  readonly expected: string;
  /** Whether it is what it promises. */
  readonly ok: boolean;
  /** The check in words. */
  readonly text: string;
}

/**
 * Compares a file's SHA-256 with the published one, where its name or its contents say that it is one of OpenAI's: a file
 * named `ViT-B-16.pt`, or a TorchScript archive with a CLIP of a published size.
 *
 * @param options.sha256 Of the file, where it has just been computed.
 * @returns null for a file that promises nothing.
 */
export async function checkKnownWeights(
  path: string,
  options: { sha256?: string } = {},
): Promise<KnownCheck | null> {
  const expected = knownByName(path) ?? await knownByContents(path);
  if (expected === undefined) return null;
  const sha256 = options.sha256 ?? await sha256OfFile(path);
  const is = knownByHash(sha256) ?? null, ok = is === expected;
  const text = ok
    ? `"${path}" is OpenAI's ${expected.file} (${expected.backbone}): its SHA-256 matches`
    : is !== null
    ? `"${path}" is OpenAI's ${is.file} (${is.backbone}), its name says ${expected.file} (${expected.backbone})`
    : `"${path}" is not OpenAI's ${expected.file} (${expected.backbone}): expected SHA-256 ${expected.sha256}, current value is ${sha256}`;
  return { sha256, is: is?.file ?? null, expected: expected.file, ok, text };
}

async function knownByContents(path: string) {
  await using weights = await openWeights(path);
  if (weights.format !== "torchscript") return undefined;
  const { system, backbone } = identify(weights);
  return KNOWN_FILES.find((known) => system === "CLIP" && known.backbone === backbone);
}
