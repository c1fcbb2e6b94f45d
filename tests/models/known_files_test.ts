/** Published files whose checksums are known. */

import assert from "node:assert/strict";
import { KNOWN_FILES, knownByHash, knownByName } from "../../models/known_files.ts";
import { VIT_PRESETS } from "../../models/mod.ts";

Deno.test("OpenAI's files are known by name in any folder and by checksum", () => {
  assert.equal(knownByName("clip_pretrain/ViT-B-16.pt")?.backbone, "ViT-B/16");
  assert.equal(knownByName("C:\\clip\\vit-l-14.PT")?.backbone, "ViT-L/14");
  assert.equal(knownByName("ViT-B-16.safetensors"), undefined);
  for (const known of KNOWN_FILES) {
    assert.match(known.sha256, /^[0-9a-f]{64}$/);
    assert.equal(knownByHash(known.sha256), known);
    assert.ok(known.backbone in VIT_PRESETS);
  }
  assert.equal(knownByHash("0".repeat(64)), undefined);
});
