/** Recorded RandAugment cases: the picture, the operation as sidenet's data, and the picture that Pillow made of it. */
import assert from "node:assert/strict";
import type { PixelOp } from "../../pixels/clip_transform.ts";
import type { RgbImage } from "../../data/transforms/picture.ts";
import type { AffineFilter } from "../../data/transforms/pixel_ops.ts";
import { MAX_MAGNITUDE, RAND_AUGMENT_OPERATIONS, translation } from "../../data/transforms/rand_augment.ts";
import { fixtureRows, FixtureTensors } from "./fixture_tensors.ts";

interface Row {
  op: string;
  image: string;
  magnitude: number;
  negated: boolean;
  args: number[];
  interpolation: AffineFilter | null;
  tensor: string;
}

/** One recorded case. */
export interface AugmentCase {
  name: string;
  operation: string;
  source: RgbImage;
  op: PixelOp;
  filter: AffineFilter | null;
  expected: RgbImage;
}

/** Operations beside RandAugment's fifteen, from their recorded argument. */
const OTHERS: Record<string, (argument: number) => PixelOp> = {
  Posterize: (bits) => ({ kind: "posterize", bits }),
  Solarize: (threshold) => ({ kind: "solarize", threshold }),
  Color: (factor) => ({ kind: "color", factor }),
  TranslateX: (pixels) => ({ kind: "affine", matrix: translation(pixels, 0) }),
  TranslateY: (pixels) => ({ kind: "affine", matrix: translation(0, pixels) }),
};

/** All recorded cases. */
export function augmentCases(): AugmentCase[] {
  const tensors = new FixtureTensors("transforms-rand_augment.safetensors");
  return fixtureRows<Row>("transforms-rand_augment.json").map((row) => {
    const source = tensors.picture(`image.${row.image}`);
    const known = RAND_AUGMENT_OPERATIONS.find(({ name }) => name === row.op);
    assert.ok(known || row.op in OTHERS, `operation ${row.op} is known`);
    const op = known
      ? known.create({ share: row.magnitude / MAX_MAGNITUDE, sign: row.negated ? -1 : 1, frame: source })
      : OTHERS[row.op](row.args[0]);
    return {
      name: row.tensor,
      operation: row.op,
      source,
      op,
      filter: row.interpolation,
      expected: tensors.picture(row.tensor),
    };
  });
}
