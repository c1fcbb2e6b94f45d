/** A tiny set of clips with captions, and a network for retrieval that trains on it in a second or two. */
import { synthesize } from "../../data/synth/dataset.ts";
import { clipTokenizer, tokensOf } from "../../data/text/tokenizer.ts";
import { parseConfig, synthOptions } from "../../train/recipe/config.ts";
import { TINY_RECIPE, TinyFolder } from "./_tiny.ts";

const SENTENCES = ["something moves left", "something moves right"];

/** A folder with `data/` of 16 training and 8 validation clips, lists of them with captions, and `captions.yaml`. */
export async function captionedFolder(): Promise<TinyFolder> {
  const folder = await TinyFolder.create(), root = folder.file("data");
  await synthesize(root, synthOptions(parseConfig(TINY_RECIPE).config)!);
  for (const split of ["train", "val"]) {
    const lines = (await Deno.readTextFile(folder.file("data", `${split}.txt`))).trim().split("\n");
    const pairs = lines.map((line) => line.split(" ")).map(([path, , label]) =>
      JSON.stringify({ path, caption: SENTENCES[Number(label)] })
    );
    await folder.write(`data/${split}.jsonl`, pairs.join("\n"));
  }
  await folder.write("captions.yaml", captionsRecipe(tokensOf(await clipTokenizer(), SENTENCES)));
  return folder;
}

/** A recipe of a tiny network for retrieval that knows these tokens. */
export const captionsRecipe = (tokens: readonly number[]): string => `
name: captions
seed: 3
system: side4video_retrieval
memory: keep
data:
  root: data
  train_list: data/train.jsonl
  val_list: data/val.jsonl
  num_segments: 4
  max_words: 8
  batch_size: 4
  resize: none
  workers: 1
network:
  arch: custom
  backbone: { image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 1 }
  text: { width: 32, heads: 1, layers: 1, context: 8 }
  embed_dim: 32
  tokens: [${tokens.join(", ")}]
  side_dim: 64
solver: { epochs: 2, lr: 1.e-3, coef_lr: 1 }
logging: { print_freq: 1, example_clips: 0, baseline: true }
`;
