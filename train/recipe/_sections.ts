/**
 * The keys that every recipe has, their types, defaults and help, under the layout and names of the published Side4Video files.
 * The order of the keys is that of a run's config.yaml; the systems' own keys stand in the middle of `data` and `network`.
 */
import { z } from "zod";
import { PUBLISHED_CROP_RATIO, PUBLISHED_CROP_SCALE } from "../../data/transforms/recipe.ts";
import { PUBLISHED_COLOUR_JITTER } from "../../data/transforms/colour_jitter.ts";
import { FAMILIES, FLOAT_FAMILY } from "../../models/system.ts";
import { TOWER_KEYS, TOWER_PRESETS } from "../../models/towers.ts";
import { SYNTH_SCHEMA } from "./_synth.ts";

const path = () => z.string().min(1).nullable().default(null);
/**
 * Whole numbers from 1. Each has a greatest value that nobody needs, so that a slip or a hostile file is an error of that key
 * and not hours of planning, or all of the memory.
 */
const count = (most: number) => z.number().int().positive().max(most);
/** The same for what is only counted to: steps, epochs, seeds. */
const MOST_STEPS = 1e9;
const MOST_LAYERS = 128, MOST_SIDE = 8192, MOST_CHANNELS = 2 ** 14;
const index = () => z.number().int().nonnegative();
const rate = () => z.number().nonnegative().max(1e9);
const share = () => z.number().min(0).max(1);
const portion = () => z.number().positive().max(1), shape = () => z.number().positive().max(1e3);
const span = ([least, most]: readonly [number, number]): [number, number] => [least, most];
/** Keys that are read of clips with labels alone, or of those with captions: what `catalogue.ts` says of who reads a key. */
const OF_LABELS = { clips: "labels" } as const, OF_CAPTIONS = { clips: "captions" } as const;

const SIZES = {
  image_size: count(MOST_SIDE).optional().describe("side of the input picture in pixels"),
  patch_size: count(MOST_SIDE).optional().describe("side of a patch in pixels"),
  width: count(MOST_CHANNELS).optional().describe("channels of the tower"),
  layers: count(MOST_LAYERS).optional().describe("transformer blocks"),
  heads: count(1024).optional().describe("attention heads"),
};

const backbone = z.strictObject({ ...SIZES, ...TOWER_KEYS }).superRefine((value, context) => {
  const missing = (Object.keys(SIZES) as (keyof typeof SIZES)[]).filter((key) => value[key] === undefined);
  if (missing.length === 0 || missing.length === Object.keys(SIZES).length) return;
  context.addIssue({ code: "custom", path: [missing[0]], message: "must be given with the other sizes" });
});

const colourJitter = z.strictObject({
  probability: share().default(PUBLISHED_COLOUR_JITTER.probability).describe("of changing a training clip"),
  brightness: rate().default(PUBLISHED_COLOUR_JITTER.brightness).describe(
    "factors lie between 1 - brightness and 1 + brightness; 0: off, as for the next three",
  ),
  contrast: rate().default(PUBLISHED_COLOUR_JITTER.contrast).describe("the same of the contrast"),
  saturation: rate().default(PUBLISHED_COLOUR_JITTER.saturation).describe("the same of the saturation"),
  hue: z.number().min(0).max(0.5).default(PUBLISHED_COLOUR_JITTER.hue).describe(
    "share of the colour circle by which hues turn at most",
  ),
});

/** What stands outside the sections. */
export const TOP_KEYS = {
  name: z.string().min(1).nullable().default(null).describe("name of the run; the config file's when null"),
  run_root: z.string().min(1).default("runs").describe("folder that holds the runs"),
  started_in: path().describe(
    "folder in which the run was started, which its relative paths are found from; train writes it",
  ),
  seed: index().default(1024).describe(
    "of initial weights, order of the clips, choice of frames and transforms",
  ),
  resume: path().describe("run folder to go on with"),
  pretrain: path().describe("weights to start from"),
  memory: z.enum(["recompute", "keep", "least"]).default("recompute").describe(
    "side blocks in the backward pass: computed again, kept, or with the least memory and 3 to 13 % more arithmetic",
  ),
  frozen: z.enum(["resident", "stream"]).default("resident").describe(
    "frozen blocks: all on the GPU, or in host memory and brought to it one by one",
  ),
  precision: z.enum(["f32", "f16"]).default("f32").describe(
    "storage of frozen weights and backbone activations",
  ),
  arithmetic: z.enum(["f32", "f16"]).default("f32").describe(
    "multiplication in a backbone of precision f16; f16: in f16 where that is measured to be faster, features differ by about 1e-3",
  ),
};

/** `data`, as far as the systems' own keys. */
export const DATA_KEYS = {
  dataset: z.string().default("custom").describe(
    'name of the data set; "something" in it selects the sth rules',
  ),
  modality: z.enum(["RGB", "video", "either"]).default("RGB").describe(
    "what the lists name; RGB: folders of frames; video: video files; either: each path is what stands there",
  ),
  root: path().describe("folder that the lists are relative to, for training and validation"),
  train_root: path().describe("the same for training alone; root when null"),
  val_root: path().describe("the same for validation alone; root when null"),
  train_list: path().describe(
    "annotation list of the training clips; with data.synth, that of data.root when null",
  ),
  val_list: path().describe("annotation list of the validation clips"),
  min_frames: z.union([z.literal("auto"), index().max(MOST_STEPS)], {
    error: 'must be "auto" or a number of frames',
  })
    .default("auto")
    .describe(
      "training and the validation inside it leave out clips whose list states fewer frames; auto: 8 in Something-Something " +
        "and Kinetics, as published, 0 in other sets",
    ),
  captions: z.enum(["all", "random"]).default("all").describe(
    "of clips with captions; all: each caption with its clip counts as one clip; random: one of a clip's captions, drawn anew in " +
      "every epoch",
  ).meta(OF_CAPTIONS),
  label_list: path().describe("CSV with the header id,name, or class names, one a line").meta(OF_LABELS),
  val_share: z.number().gt(0).lt(1).default(0.1).describe(
    "share of each class kept for validation when training starts on a folder of class folders",
  ),
  synth: SYNTH_SCHEMA.nullable().default(null)
    .describe("options of the synthetic set, generated into data.root when that folder does not exist"),
  num_classes: index().max(100_000).nullable().default(null).describe(
    "classes; taken from data.synth when that is given",
  ).meta(OF_LABELS),
  num_segments: count(2 ** 13).default(8).describe("frames of a clip, T"),
};

/** `data`, behind the systems' own keys. */
export const MORE_DATA_KEYS = {
  image_tmpl: z.string().min(1).default("{:05d}.jpg").describe("file name of a frame by its number"),
  first_frame: index().max(MOST_STEPS).nullable().default(null).describe(
    "number of a clip's first frame; lower ones are left out; null: the lowest in its folder",
  ),
  family: z.enum(["auto", ...FAMILIES]).default("auto").describe(
    `rules for frame indices and transforms; ${FLOAT_FAMILY}: on floats, without antialiasing; auto: the system's own, else by dataset`,
  ),
  frame_rule: z.enum(["segment", "interval"]).default("segment").describe(
    `family ${FLOAT_FAMILY}; segment: a frame in each of num_segments equal parts; interval: frames spread over a fixed time`,
  ),
  frame_interval: count(MOST_STEPS).default(8).describe(
    "frame_rule interval: frames at target_fps from one frame of a clip to the next",
  ),
  target_fps: z.number().positive().max(1e6).default(30).describe(
    "frame_rule interval: frames a second that frame_interval is meant for, and those of a folder of frames",
  ),
  minus_interval: z.boolean().default(false).describe(
    "frame_rule interval: the last frame is frame_interval before the end of the time, instead of one frame",
  ),
  batch_size: count(2 ** 16).default(16).describe("videos in a batch"),
  num_sample: count(1024).default(1).describe(
    "augmentations of each video; a batch holds batch_size x num_sample clips",
  ),
  drop_last: z.union([z.literal("auto"), z.boolean()], { error: 'must be "auto", true or false' }).default(
    "auto",
  )
    .describe(
      "leave out what is left of an epoch behind its full batches; auto: with captions, whose loss compares the batch",
    ),
  micro_batch_size: count(2 ** 26).nullable().default(null).describe(
    "clips that go through the GPU at once; a batch then goes through it in parts, with one update; null: the whole batch, " +
      "or as many as the adapter can hold",
  ),
  input_size: count(MOST_SIDE).nullable().default(null).describe(
    "side of the crop in pixels; the backbone's when null",
  ),
  random_shift: z.boolean().default(true).describe("random frame choice in training"),
  dense: z.boolean().default(false).describe("dense sampling of a 128-frame span in training"),
  balance: z.enum(["none", "sampler", "loss"]).default("none").describe(
    "classes of different sizes; sampler: an epoch draws every class equally often; loss: training losses (also as " +
      "reported) are weighted by clips / (classes x clips of the class), averaged over the batch's weights",
  ).meta(OF_LABELS),
  shots: count(MOST_STEPS).nullable().default(null).describe(
    "few-shot: train on so many clips of each class, chosen by seed; null: on all",
  ).meta(OF_LABELS),
  shots_repeat: z.boolean().default(false).describe(
    "few-shot: an epoch goes over the chosen clips as often as the whole list has room for, as published",
  ).meta(OF_LABELS),
  test_side: count(MOST_SIDE).nullable().default(null).describe(
    `family ${FLOAT_FAMILY}: short side of the frames of an evaluation, before the crop; null: input_size`,
  ),
  crop_scale: z.tuple([portion(), portion()]).default(span(PUBLISHED_CROP_SCALE)).describe(
    `family ${FLOAT_FAMILY}: least and most area of the random resized crop, as a share of the frame`,
  ),
  crop_ratio: z.tuple([shape(), shape()]).default(span(PUBLISHED_CROP_RATIO)).describe(
    `family ${FLOAT_FAMILY}: least and most shape of that crop, width by height`,
  ),
  resize: z.union([
    z.enum(["auto", "sth", "kinetics", "short", "none"]),
    z.tuple([count(MOST_SIDE), count(MOST_SIDE)]),
  ], {
    error: 'must be "auto", "sth", "kinetics", "short", "none" or [height, width]',
  }).default("auto").describe(
    `sth: 256 x 320; kinetics: short side 256; short: short side input_size; auto: short for captions and the family ${FLOAT_FAMILY}, where it ` +
      "is that of an evaluation, else by family",
  ),
  crop: z.enum(["auto", "random_resized", "random", "centre", "none"]).default("auto").describe(
    "crop in training; centre: as in validation; none: the resized frames have the input's size already; auto: centre for " +
      "captions, else random_resized",
  ),
  flip: z.enum(["auto", "none", "plain", "sth"]).default("auto")
    .describe(
      "mirror half of the training clips; sth swaps Something-Something's left and right classes with it; " +
        `auto: sth with its 174 classes, none with others of the family sth (of the family ${FLOAT_FAMILY}, of a dataset named like it) and with ` +
        "captions, else plain",
    ),
  grey: z.union([z.literal("auto"), share()], { error: 'must be "auto" or a number from 0 to 1' }).default(
    "auto",
  )
    .describe(
      `probability of a grey training clip; auto: 0.2 in the families kinetics and ${FLOAT_FAMILY}, else 0`,
    ),
  rand_aug: z.boolean().default(false).describe(
    "RandAugment: four colour and geometry operations, before the resize",
  ),
  colour_jitter: colourJitter.nullable().default(null).describe(
    "random brightness, contrast, saturation and hue of a clip, in random order, after RandAugment and before the resize, in the " +
      `family ${FLOAT_FAMILY} after the crop; null: none; {}: the published ranges`,
  ),
  rand_erase: z.boolean().default(false).describe(
    "replace a box of a quarter of the training clips by noise",
  ),
  workers: count(1024).default(4).describe("workers that decode pictures"),
  features: path().describe(
    "folder that extract wrote: training and its evaluation read the backbone's outputs there and do not run it; " +
      "eval and predict run it as ever",
  ).meta(OF_LABELS),
  cache_mb: rate().default(256).describe("memory for decoded frames, in MB; 0 decodes every time"),
  frame_cache: z.string().min(1).nullable().default("auto").describe(
    "folder of a few large files that take up every clip when it is first read, and give it from then on; run: one in the run " +
      "folder, for the training videos; auto: run where there are videos, more than one epoch, and disk enough; null: none",
  ),
  frame_cache_side: count(MOST_SIDE).default(256).describe(
    "short side in pixels to which larger frames are shrunk in data.frame_cache; smaller JPEG files are kept as they are",
  ),
};

/** `network`, as far as the systems' own keys. */
export const NETWORK_KEYS = {
  arch: z.enum([...Object.keys(TOWER_PRESETS), "custom"]).nullable().default(null)
    .describe("frozen backbone; custom goes with network.backbone"),
  backbone: backbone.nullable().default(null).describe(
    "all sizes of a backbone that is no preset, or options of one that is",
  ),
  weights: path().describe(
    "weights of the backbone, from the working folder or, where it has none such, beside the recipe; null: seeded random initialisation",
  ),
  head: z.enum(["reinit", "strict"]).default("reinit")
    .describe("what to do when a classifier in pretrain has another number of classes"),
  init: z.boolean().default(true).describe("load network.weights; false: seeded random initialisation"),
  tm: z.literal(false).default(false).describe("temporal module: not built, false"),
  side_dim: count(MOST_CHANNELS).default(320).describe("channels of the side network, d"),
  n_emb: count(MOST_CHANNELS).nullable().default(null).describe(
    "input width of the classifier; equal to side_dim",
  ),
};

/** `network`, behind the systems' own keys. */
export const MORE_NETWORK_KEYS = {
  sync_bn: z.boolean().default(false).describe(
    "batch norms see the clips of all ranks (MPI); and keep their rate under gradient accumulation",
  ),
  drop_out: z.literal(0).default(0).describe("drop path in the backbone: not built, 0"),
  emb_dropout: z.literal(0).default(0).describe("dropout after the position embedding: not built, 0"),
  drop_fc: z.literal(0).default(0).describe("dropout before the classifier: not built, 0"),
  sim_header: z.null().default(null).describe("fusion head: not built, null"),
  joint_st: z.literal(false).default(false).describe("joint space-time tokens: not built, false"),
  my_fix_clip: z.literal(true).default(true).describe("the backbone is frozen: always true"),
};

/** `solver`. */
export const SOLVER_KEYS = {
  optimizer: z.enum(["auto", "adamw", "bert_adam"]).default("auto").describe(
    "bert_adam: without bias correction, as in BERT; auto: the published one of the system",
  ),
  type: z.enum([
    "auto",
    "cosine",
    "multistep",
    "running_cosine",
    "warmup_cosine",
    "warmup_constant",
    "warmup_linear",
  ]).default("auto").describe(
    "schedule after the warm-up; running_cosine: a cosine that has been running since epoch 0, which the warm-up reaches where it is " +
      "then; those named warmup go by the share of the run's steps, as BERT's; auto: the published one of the system",
  ),
  epochs: count(1_000_000).default(30).describe("passes over the training clips; the schedule spans them"),
  folds: count(1_000_000).default(1).describe(
    "passes that make one loop, each in an order of its own: evaluations, the epoch's end and data.drop_last come once a loop; divides epochs",
  ),
  start_epoch: index().max(1_000_000).default(0).describe("first epoch of a run that does not resume"),
  max_steps: count(MOST_STEPS).nullable().default(null).describe(
    "stop after so many optimiser steps; the schedule keeps epochs",
  ),
  lr: z.number().nonnegative().default(1e-3).describe("learning rate at the end of the warm-up"),
  find_lr: index().max(MOST_STEPS).nullable().default(null).transform((steps) => steps || null).describe(
    "in place of training, sweep the learning rate over so many steps, 100 say, and suggest one; a page shows the loss by the rate; null or 0: train",
  ),
  lr_warmup_step: rate().default(4).describe("length of the warm-up in epochs"),
  lr_warmup_start: rate().default(0).describe(
    "learning rate at the start of the warm-up; not of the schedules named warmup",
  ),
  warmup_proportion: share().default(0.1).describe(
    "share of the run's steps that the schedules named warmup warm up",
  ),
  lr_decay_step: z.union([count(1_000_000), z.array(rate()).min(1), z.null()], {
    error: "must be a list of epochs, a period in epochs or null",
  }).default(null).describe("multistep: where the rate falls to a tenth"),
  lr_refresh: z.enum(["every_step", "published"]).default("every_step")
    .describe("published: the rate moves at batches 0, 9, 19, … of an epoch"),
  betas: z.tuple([share(), share()]).nullable().default(null).describe(
    "decay of the optimiser's two moments; null: 0.9 and 0.999, with bert_adam 0.9 and 0.98",
  ),
  weight_decay: rate().default(0.15).describe(
    "decoupled weight decay, of every trained weight that the system does not except",
  ),
  clip_ratio: rate().default(1).describe(
    "factor on the rate of the side network (not classifier, not batch norms)",
  ).meta(OF_LABELS),
  coef_lr: rate().default(1e-3).describe(
    "of a side network and its text tower: factor on the rate of trained weights that begin with the backbone file's values",
  ).meta(OF_CAPTIONS),
  clip_grad_norm: z.number().positive().nullable().default(null).describe(
    "limit of the global gradient norm",
  ),
  skip_nonfinite: index().max(MOST_STEPS).nullable().default(null).transform((most) => most || null).describe(
    "skip an update whose gradient or loss is not finite, as loss scaling does; so many in a row stop the run; null or 0: the first stops it",
  ),
  ema: share().nullable().default(null).transform((decay) => decay || null).describe(
    "keep a moving average of the trained weights and running statistics with this decay, such as 0.9998; evaluations, best and last " +
      "use it; null or 0: none",
  ),
  ema_warmup: z.boolean().default(true).describe(
    "begin the average with a decay of (1 + n) / (10 + n) after update n, as long as that is less than solver.ema",
  ),
  early_stop: index().max(MOST_STEPS).nullable().default(null).transform((most) => most || null).describe(
    "stop when so many evaluations in a row have not bettered the metric by which the best weights are kept; null or 0: never",
  ),
  early_stop_delta: rate().default(0).describe(
    "what counts as better for solver.early_stop: by more than this, in the metric's own unit (accuracies are shares of 1)",
  ),
  grad_accumulation_steps: count(1_000_000).default(1).describe("batches whose gradients make one update"),
  smoothing: share().default(0.1).describe("label smoothing").meta(OF_LABELS),
  mixup: z.boolean().default(false).describe("mixup or CutMix of every training batch with its reverse").meta(
    OF_LABELS,
  ),
  evaluate: z.boolean().default(false).describe("evaluate once and stop; a training list is not needed"),
};

/** `logging`. */
export const LOGGING_KEYS = {
  print_freq: count(MOST_STEPS).default(10).describe("steps between two reports of progress"),
  baseline: z.boolean().default(false).describe(
    "evaluate before the first step too: what the untrained network gives stands beside the result",
  ),
  eval_freq: count(MOST_STEPS).default(1).describe("epochs between two evaluations"),
  skip_epoch: z.array(index()).nullable().default([]).transform((epochs) => epochs ?? [])
    .describe("epochs, from 0, after which no evaluation is made"),
  checkpoint_every: count(MOST_STEPS).nullable().default(null).describe(
    "steps between two saved states, besides epoch ends",
  ),
  checkpoint_minutes: rate().nullable().default(10).transform((minutes) => minutes || null).describe(
    "minutes between two saved states, besides these and one after the first steps; null or 0: none by time",
  ),
  keep: index().max(1_000_000).nullable().default(null).transform((most) => most || null).describe(
    "keep the weights and states of so many of the last epochs in the run's folder kept; null or 0: none but best, last and state",
  ),
  tensorboard: z.boolean().default(false).describe(
    "also write the metrics as event files that TensorBoard reads, beside metrics.jsonl",
  ),
  example_clips: index().max(1000).default(12).describe("clips shown in report.html"),
};
