import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { jpegSize } from "../../../data/frames/jpeg.ts";
import { decodePicture, pictureSize } from "../../../data/frames/picture.ts";

const FOLDER = fileURLToPath(new URL("../../fixtures/pictures/", import.meta.url));
const HASHES: Record<string, string> = JSON.parse(await Deno.readTextFile(FOLDER + "pictures.json"));

const raw = { width: 16, height: 12, channels: 3 } as const;
const noise = Uint8Array.from({ length: 16 * 12 * 3 }, (_, i) => (i * 7919) % 251);
const picture = () => sharp(noise, { raw });

for (const [name, hash] of Object.entries(HASHES)) {
  Deno.test(`${name} is decoded to the bits of Pillow's convert("RGB")`, async () => {
    const bytes = await Deno.readFile(FOLDER + name);
    const { width, height, rgb } = await decodePicture(bytes);
    assert.equal(rgb.length, width * height * 3);
    assert.deepEqual(await pictureSize(bytes), { width, height });
    assert.equal(createHash("sha256").update(rgb).digest("hex"), hash);
  });
}

Deno.test("of 16-bit grey the high byte is taken", async () => {
  const samples = Uint16Array.from({ length: 16 * 12 }, (_, i) => i * 331);
  const png = await sharp(samples, { raw: { ...raw, channels: 1 } }).toColourspace("grey16").png().toBuffer();
  assert.equal((await sharp(png).metadata()).depth, "ushort");
  const { rgb } = await decodePicture(png);
  const expected = [...samples].flatMap((value) => [value >> 8, value >> 8, value >> 8]);
  assert.deepEqual([...rgb], expected);
});

Deno.test("AVIF is read", async () => {
  const bytes = await picture().avif({ lossless: true, chromaSubsampling: "4:4:4" }).toBuffer();
  const { width, height, rgb } = await decodePicture(bytes);
  assert.deepEqual([width, height], [16, 12]);
  const furthest = rgb.reduce((most, value, i) => Math.max(most, Math.abs(value - noise[i])), 0);
  assert.ok(furthest <= 2, `off by ${furthest}`);
});

Deno.test("an orientation tag turns no picture, a progressive JPEG is one", async () => {
  const bytes = await picture().withMetadata({ orientation: 6 }).jpeg({ progressive: true, quality: 100 })
    .toBuffer();
  const { width, height } = await decodePicture(bytes);
  assert.deepEqual([width, height, jpegSize(bytes)], [16, 12, { width: 16, height: 12 }]);
});

Deno.test("what is no picture, an animation and a file cut short are refused by their reason", async () => {
  const pages = await sharp(new Uint8Array(16 * 24 * 3).map((_, i) => i), {
    raw: { width: 16, height: 24, channels: 3, pageHeight: 12 },
  }).gif().toBuffer();
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  const kinds = "it must be JPEG, PNG, WebP, TIFF, AVIF or GIF, it starts with bytes";
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "the file is empty"],
    [new TextEncoder().encode(svg), `it is no picture that can be read: ${kinds} 3c 73 76 67`],
    [
      new TextEncoder().encode("BM and so on"),
      `it is no picture that can be read: ${kinds} 42 4d 20 61 (BMP)`,
    ],
    [pages, "it is a GIF of 2 pictures: a frame must be one"],
    [(await picture().png().toBuffer()).subarray(0, 200), "its PNG data is broken or cut short"],
    [(await picture().webp().toBuffer()).subarray(0, 60), "its WebP data is broken or cut short"],
    [(await picture().tiff().toBuffer()).subarray(0, 90), "its TIFF data is broken or cut short"],
  ];
  for (const [bytes, message] of cases) await assert.rejects(decodePicture(bytes), { message });
});
