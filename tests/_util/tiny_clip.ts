/** A checkpoint of a tiny CLIP with random weights under OpenAI's names, as any CLIP file: both towers, the scale. */
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import { writeFileWhole } from "../../data/files.ts";
import { createPrng } from "../../lib/random.ts";

/** Tokens of CLIP's vocabulary: a file whose table has fewer does not say which they are. */
const VOCABULARY = 49408;
const WIDTH = 64, TEXT_WIDTH = 8, DIMS = 16, PATCH = 8, GRID = 2, CONTEXT = 16;

/** Writes it: pictures of 16x16 pixels, one block in each tower, 16 dimensions. */
export async function writeTinyClip(path: string, options: { seed?: number } = {}): Promise<void> {
  const prng = createPrng(options.seed ?? 7);
  const shapes: [name: string, shape: number[]][] = [
    ["visual.class_embedding", [WIDTH]],
    ["visual.positional_embedding", [GRID * GRID + 1, WIDTH]],
    ["visual.proj", [WIDTH, DIMS]],
    ["visual.conv1.weight", [WIDTH, 3, PATCH, PATCH]],
    ...norm("visual.ln_pre", WIDTH),
    ...block("visual.transformer.resblocks.0", WIDTH),
    ...norm("visual.ln_post", WIDTH),
    ...block("transformer.resblocks.0", TEXT_WIDTH),
    ["token_embedding.weight", [VOCABULARY, TEXT_WIDTH]],
    ["positional_embedding", [CONTEXT, TEXT_WIDTH]],
    ...norm("ln_final", TEXT_WIDTH),
    ["text_projection", [TEXT_WIDTH, DIMS]],
    ["logit_scale", []],
  ];
  const tensors = shapes.map(([name, shape]) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.2 * prng.normal());
    if (/ln_\w+\.weight$/.test(name)) data.fill(1);
    if (name === "logit_scale") data.fill(Math.log(100));
    return { name, dtype: "F32", shape, data } as const;
  });
  await writeFileWhole(path, encodeSafetensors(tensors));
}

function norm(name: string, width: number): [string, number[]][] {
  return [[`${name}.weight`, [width]], [`${name}.bias`, [width]]];
}

function block(name: string, width: number): [string, number[]][] {
  return [
    [`${name}.attn.in_proj_weight`, [3 * width, width]],
    [`${name}.attn.in_proj_bias`, [3 * width]],
    [`${name}.attn.out_proj.weight`, [width, width]],
    [`${name}.attn.out_proj.bias`, [width]],
    ...norm(`${name}.ln_1`, width),
    [`${name}.mlp.c_fc.weight`, [4 * width, width]],
    [`${name}.mlp.c_fc.bias`, [4 * width]],
    [`${name}.mlp.c_proj.weight`, [width, 4 * width]],
    [`${name}.mlp.c_proj.bias`, [width]],
    ...norm(`${name}.ln_2`, width),
  ];
}
