/**
 * Draws the random decisions of one clip as data, and places those of validation and test. Training carries them out on the
 * GPU (`gpu/frames.ts`); their definition on the CPU is `data/transforms/apply.ts`.
 *
 * Idea and order of draws: Side4Video's transforms, after TSN's group transforms
 * (https://github.com/yjxiong/tsn-pytorch).
 */
import type { Prng } from "../../lib/random.ts";
import { roundHalfToEven } from "../../lib/round.ts";
import { orText } from "../../lib/text.ts";
import type { Box, ClipTransform, Erasure, ResizeTo } from "../../pixels/clip_transform.ts";
import type { ResampleFilter } from "../../pixels/resample.ts";
import { type FrameTransform, isMirrored } from "../../pixels/float_transform.ts";
import { sampleColourJitter } from "./colour_jitter.ts";
import { floatTestTransform, sampleFloatTransform } from "./float_transforms.ts";
import type { PictureSize } from "./picture.ts";
import { sampleRandAugment } from "./rand_augment.ts";
import type { FloatRecipe, FrameRecipe, ResizeRule, TransformRecipe } from "./recipe.ts";

/** Size with the short side as given and the long side in proportion, rounded down. */
function shortSideSize(frame: PictureSize, side: number): PictureSize {
  const { width, height } = frame;
  if (width <= height) return { width: side, height: Math.floor(side * height / width) };
  return { width: Math.floor(side * width / height), height: side };
}

/** The resize as a step, or null where it would change nothing. */
function resizeStep(frame: PictureSize, to: PictureSize, filter: ResampleFilter): ResizeTo | null {
  if (to.width === frame.width && to.height === frame.height) return null;
  return { width: to.width, height: to.height, filter };
}

/** First resize of a recipe for frames of a given size, or null where it changes nothing. */
export function resizeFor(frame: PictureSize, rule: ResizeRule): ResizeTo | null {
  if (rule.kind === "none") return null;
  const to = rule.kind === "exact" ? rule : shortSideSize(frame, rule.side);
  return resizeStep(frame, to, "bicubic");
}

/** A square of `size` at (x, y). */
function square(x: number, y: number, size: number): Box {
  return { x, y, width: size, height: size };
}

/** Fails unless a square of `size` fits. */
function checkHolds(picture: PictureSize, size: number): void {
  if (picture.width < size || picture.height < size) {
    throw new RangeError(
      `Cannot crop ${size}x${size}: the resized frame must be at least that large, current size is ` +
        `${picture.width}x${picture.height}`,
    );
  }
}

/** A uniformly placed box. Draws x, then y. */
function randomBox(picture: PictureSize, box: PictureSize, prng: Pick<Prng, "integer">): Box {
  const x = prng.integer(picture.width - box.width + 1);
  const y = prng.integer(picture.height - box.height + 1);
  return { x, y, width: box.width, height: box.height };
}

/** Tries of the random resized crop before it falls back. */
const CROP_TRIES = 10;

/** Crop part of a transform. */
type CropPart = Pick<ClipTransform, "crop" | "resizeCrop" | "outputAt">;

/**
 * Random resized crop: a part of 8 % to all of the picture, of shape 3:4 to 4:3, resized to `size`. Each try draws area,
 * ratio and swap; the accepted one then x and y. After ten misses: the short side to `size` and a random square.
 */
function randomResizedCrop(
  picture: PictureSize,
  size: number,
  prng: Pick<Prng, "uniform" | "integer">,
): CropPart {
  for (let attempt = 0; attempt < CROP_TRIES; attempt++) {
    const area = (0.08 + (1 - 0.08) * prng.uniform()) * picture.width * picture.height;
    const ratio = 3 / 4 + (4 / 3 - 3 / 4) * prng.uniform();
    let width = roundHalfToEven(Math.sqrt(area * ratio));
    let height = roundHalfToEven(Math.sqrt(area / ratio));
    if (prng.uniform() < 0.5) [width, height] = [height, width];
    // A part of no width can only come from a picture of a few pixels; another try is as good as any.
    if (width < 1 || height < 1 || width > picture.width || height > picture.height) continue;
    const crop = randomBox(picture, { width, height }, prng);
    return { crop, resizeCrop: resizeStep(crop, { width: size, height: size }, "bilinear") };
  }
  const to = shortSideSize(picture, size);
  const at = randomBox(to, square(0, 0, size), prng);
  return {
    crop: { x: 0, y: 0, width: picture.width, height: picture.height },
    resizeCrop: resizeStep(picture, to, "bilinear"),
    outputAt: { x: at.x, y: at.y },
  };
}

/** Tries of random erasing before the clip stays whole. */
const ERASE_TRIES = 10;

/** Erased part of the frame, and the logarithm of the largest shape (height by width); the smallest is its inverse. */
const ERASE_AREA = [0.02, 1 / 3] as const, ERASE_LOG_SHAPE = Math.log(1 / 0.3);

/** A box of 2 % to a third of the output, of shape 3:10 to 10:3. Each try draws area and shape; the accepted one y and x. */
function sampleErasure(size: number, prng: Pick<Prng, "uniform" | "integer">): Erasure | undefined {
  for (let attempt = 0; attempt < ERASE_TRIES; attempt++) {
    const area = (ERASE_AREA[0] + (ERASE_AREA[1] - ERASE_AREA[0]) * prng.uniform()) * size * size;
    const shape = Math.exp(ERASE_LOG_SHAPE * (2 * prng.uniform() - 1));
    const height = roundHalfToEven(Math.sqrt(area * shape));
    const width = roundHalfToEven(Math.sqrt(area / shape));
    if (width < 1 || height < 1 || width >= size || height >= size) continue;
    const y = prng.integer(size - height + 1), x = prng.integer(size - width + 1);
    return { box: { x, y, width, height }, seed: prng.integer(2 ** 32) };
  }
}

/** Draws whether a clip loses a box, and which. */
function drawErasure(
  { eraseProbability, size }: Pick<TransformRecipe, "eraseProbability" | "size">,
  prng: Pick<Prng, "uniform" | "integer">,
): Erasure | undefined {
  const erases = eraseProbability > 0 && prng.uniform() < eraseProbability;
  return erases ? sampleErasure(size, prng) : undefined;
}

/**
 * Draws the transform of one training clip in the order in which it is carried out: RandAugment, colour jitter, crop, flip,
 * grey, erasing (what a recipe does not ask for draws nothing); in floats RandAugment, flip, crop, grey, colour jitter, erasing.
 *
 * @param frame Size of the decoded frames.
 * @example `sampleTransform({ width: 340, height: 256 }, publishedRecipe("sth"), createPrng(seed, epoch, clip))`
 */
export function sampleTransform(
  frame: PictureSize,
  recipe: TransformRecipe,
  prng: Pick<Prng, "uniform" | "integer" | "normal">,
): ClipTransform;
export function sampleTransform(
  frame: PictureSize,
  recipe: FrameRecipe,
  prng: Pick<Prng, "uniform" | "integer" | "normal">,
): FrameTransform;
export function sampleTransform(
  frame: PictureSize,
  recipe: FrameRecipe,
  prng: Pick<Prng, "uniform" | "integer" | "normal">,
): FrameTransform {
  const augmented = recipe.randAugment ? sampleRandAugment(frame, recipe.randAugment, prng) : [];
  const { float } = recipe;
  if (float) {
    const transform = sampleFloatTransform(frame, { ...recipe, float }, prng),
      erase = drawErasure(recipe, prng);
    return { ...augmented.length > 0 && { pixelOps: augmented }, ...transform, ...erase && { erase } };
  }
  const jittered = recipe.colourJitter ? sampleColourJitter(recipe.colourJitter, prng) : [];
  const pixelOps = [...augmented, ...jittered];
  const resize = resizeFor(frame, recipe.resize);
  const picture = resize ?? frame;
  const part = sampleCrop(picture, recipe, prng);
  const flip = recipe.flipProbability > 0 && prng.uniform() < recipe.flipProbability;
  const grey = recipe.greyProbability > 0 && prng.uniform() < recipe.greyProbability;
  const erase = drawErasure(recipe, prng);
  return { ...pixelOps.length > 0 && { pixelOps }, resize, ...part, flip, grey, ...erase && { erase } };
}

/** Draws the crop that a recipe asks for. */
function sampleCrop(
  picture: PictureSize,
  recipe: FrameRecipe,
  prng: Pick<Prng, "uniform" | "integer">,
): CropPart {
  const { crop, size } = recipe;
  if (crop === "randomResized") return randomResizedCrop(picture, size, prng);
  checkHolds(picture, size);
  if (crop === "random") return { crop: randomBox(picture, square(0, 0, size), prng), resizeCrop: null };
  if (crop === "centre") return { crop: centreSquare(picture, size), resizeCrop: null };
  if (picture.width !== size || picture.height !== size) {
    throw new RangeError(
      `Cannot use crop "none": resized frames must be ${size}x${size}, current size is ` +
        `${picture.width}x${picture.height}`,
    );
  }
  return { crop: square(0, 0, size), resizeCrop: null };
}

/** The square of `size` in the centre; where that falls between two pixels, at the even one. */
function centreSquare(picture: PictureSize, size: number): Box {
  return square(
    roundHalfToEven((picture.width - size) / 2),
    roundHalfToEven((picture.height - size) / 2),
    size,
  );
}

/** The transform of a clip in validation: resize and centre crop. */
export function centreTransform(frame: PictureSize, recipe: TransformRecipe): ClipTransform;
export function centreTransform(frame: PictureSize, recipe: FrameRecipe): FrameTransform;
export function centreTransform(frame: PictureSize, recipe: FrameRecipe): FrameTransform {
  if (recipe.float) return floatTestTransform(frame, recipe, { crops: 1, crop: 0 });
  const { size } = recipe;
  const resize = resizeFor(frame, recipe.resize);
  const picture = resize ?? frame;
  checkHolds(picture, size);
  return { resize, crop: centreSquare(picture, size), resizeCrop: null, flip: false };
}

/** Spatial crops that the test protocols know. */
export type TestCrops = 1 | 3 | 5 | 10;

/** Test crops of a recipe. */
export function knownTestCrops({ float }: Pick<FrameRecipe, "float">): readonly TestCrops[] {
  return float ? [1, 3] : [1, 3, 5, 10];
}

/** Test crops in steps of a quarter of the free room, (x, y), in the published order. */
const THREE_CROPS = [[0, 2], [4, 2], [2, 2]] as const;
const FIVE_CROPS = [[0, 0], [4, 0], [0, 4], [4, 4], [2, 2]] as const;

/**
 * The transforms of one clip in the published test protocol: the centre; left, right, centre; the corners and the centre;
 * or those five, each followed by its mirror image. In floats: the centre, or beginning, centre and end of the long side.
 */
export function testTransforms(
  frame: PictureSize,
  recipe: TransformRecipe,
  crops: TestCrops,
): ClipTransform[];
export function testTransforms(
  frame: PictureSize,
  recipe: FrameRecipe,
  crops: TestCrops,
): FrameTransform[];
export function testTransforms(
  frame: PictureSize,
  recipe: FrameRecipe,
  crops: TestCrops,
): FrameTransform[] {
  const known = knownTestCrops(recipe), { size } = recipe;
  if (!known.includes(crops)) {
    throw new RangeError(
      `Cannot place test crops: their number must be ${orText(known)}, current value is ${crops}`,
    );
  }
  if (recipe.float) return floatTestTransforms(frame, recipe, crops);
  const centre = centreTransform(frame, recipe);
  if (crops === 1) return [centre];
  const picture = centre.resize ?? frame;
  const stepX = Math.floor((picture.width - size) / 4), stepY = Math.floor((picture.height - size) / 4);
  const places = crops === 3 ? THREE_CROPS : FIVE_CROPS;
  return places.flatMap(([x, y]) => {
    const plain = { ...centre, crop: square(x * stepX, y * stepY, size) };
    return crops === 10 ? [plain, { ...plain, flip: true }] : [plain];
  });
}

function floatTestTransforms(
  frame: PictureSize,
  recipe: FloatRecipe,
  crops: TestCrops,
): FrameTransform[] {
  if (crops === 1) return [floatTestTransform(frame, recipe, { crops: 1, crop: 0 })];
  return ([0, 1, 2] as const).map((crop) => floatTestTransform(frame, recipe, { crops: 3, crop }));
}

/** The label of a training clip after its transform: a mirrored "left" is a "right". */
export function transformedLabel(label: number, transform: FrameTransform, recipe: FrameRecipe): number {
  if (!isMirrored(transform)) return label;
  for (const [left, right] of recipe.mirrorPairs) {
    if (label === left) return right;
    if (label === right) return left;
  }
  return label;
}
