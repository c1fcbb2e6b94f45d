/** Carries out the transform of a clip on the CPU, in plain loops: the definition of what `gpu/frames.ts` computes. */
import { type ClipTransform, type Erasure, resizeStages } from "../../pixels/clip_transform.ts";
import { type FloatTransform, type FrameTransform, isFloatTransform } from "../../pixels/float_transform.ts";
import { noiseIndex, noiseTable } from "../../pixels/noise.ts";
import { CLIP_STATISTICS, normalisationTable, type PixelStatistics } from "../../pixels/normalise.ts";
import { floatClipOf } from "./float_transforms.ts";
import { cropRgb, flipRgb, greyRgb, resizeRgb, type RgbImage } from "./picture.ts";
import { applyPixelOp } from "./pixel_ops.ts";

/** Carries out a transform on one frame, all but erasing; the result is `size` pixels on both sides. */
export function transformFrame(frame: RgbImage, transform: ClipTransform, size: number): RgbImage {
  let image = frame;
  for (const op of transform.pixelOps ?? []) image = applyPixelOp(image, op);
  for (const { to, filter, window } of resizeStages(frame, transform, size)) {
    image = cropRgb(resizeRgb(image, to.width, to.height, filter), window);
  }
  if (transform.flip) image = flipRgb(image);
  return transform.grey ? greyRgb(image) : image;
}

/** Normalised values of a picture, planar: `[3 H W]`. */
export function normaliseFrame(image: RgbImage, statistics: PixelStatistics = CLIP_STATISTICS): Float32Array {
  const table = normalisationTable(statistics);
  const pixels = image.width * image.height;
  const planes = new Float32Array(3 * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      planes[channel * pixels + pixel] = table[channel * 256 + image.data[pixel * 3 + channel]];
    }
  }
  return planes;
}

let noise: Float32Array | undefined;

/** Replaces a box of a normalised frame `[3 S S]` by noise that depends on the number of the frame in its clip. */
function eraseFrame(planes: Float32Array, erasure: Erasure, options: { frame: number; size: number }): void {
  const { box, seed } = erasure, { frame, size } = options;
  noise ??= noiseTable();
  for (let channel = 0; channel < 3; channel++) {
    for (let y = box.y; y < box.y + box.height; y++) {
      for (let x = box.x; x < box.x + box.width; x++) {
        const at = (channel * size + y) * size + x;
        planes[at] = noise[noiseIndex(seed, frame * planes.length + at)];
      }
    }
  }
}

/**
 * The network's input for one clip, `[T 3 S S]`: every step of its transform on every frame, then the normalisation. This is
 * what `gpu/frames.ts` computes.
 *
 * @param clip Frames one after the other, packed RGB.
 */
export function transformClip(
  clip: { frames: Uint8Array; width: number; height: number; transform: FrameTransform },
  size: number,
  statistics: PixelStatistics = CLIP_STATISTICS,
): Float32Array {
  const { frames, width, height, transform } = clip;
  if (isFloatTransform(transform)) return transformFloatClip({ ...clip, transform }, size, statistics);
  const bytes = width * height * 3, count = frames.length / bytes, values = 3 * size * size;
  const out = new Float32Array(count * values);
  for (let frame = 0; frame < count; frame++) {
    const data = frames.subarray(frame * bytes, (frame + 1) * bytes);
    const planes = normaliseFrame(transformFrame({ data, width, height }, transform, size), statistics);
    if (transform.erase) eraseFrame(planes, transform.erase, { frame, size });
    out.set(planes, frame * values);
  }
  return out;
}

/** The same by DiST's rules. The GPU agrees with it within `FLOAT_TOLERANCE`. */
function transformFloatClip(
  clip: { frames: Uint8Array; width: number; height: number; transform: FloatTransform },
  size: number,
  statistics: PixelStatistics,
): Float32Array {
  const { transform, width, height } = clip, { pixelOps = [], erase } = transform;
  const bytes = width * height * 3, frames = clip.frames.slice();
  for (let start = 0; start < frames.length && pixelOps.length > 0; start += bytes) {
    let image: RgbImage = { data: clip.frames.subarray(start, start + bytes), width, height };
    for (const op of pixelOps) image = applyPixelOp(image, op);
    frames.set(image.data, start);
  }
  const out = floatClipOf({ frames, width, height }, transform, { size, statistics }),
    values = 3 * size * size;
  for (let frame = 0; frame * values < out.length && erase; frame++) {
    eraseFrame(out.subarray(frame * values, (frame + 1) * values), erase, { frame, size });
  }
  return out;
}
