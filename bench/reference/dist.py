"""
DiST in plain PyTorch: replays recorded cases, makes others of any size, and checks the conformance vector of the written
description. See README.md for the commands. Names of weights are the original's, without "backbone.base_encoder." inside.

Legend: B clips, T dense frames, S sparse frames (T / alpha), N patches and class token of a frame, g rows of the patch grid,
D tower width, C integration width, c temporal width, E joint embedding, K classes, L selected layers.
"""
import argparse
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from dist_vector import FIRST, GRADIENTS, LOGITS, LOSS, MODEL, NAMES, SCALARS, VECTOR, formula, weight_value
from network import attention, image_tokens, image_tower, layer_norm, linear
from retrieval import text_tower
from safetensors_file import read_safetensors
from side4video_torch import judge, print_errors, save_case
from start_weights import PRESETS, Init

PREFIX = "backbone.base_encoder."
DEFAULTS = {"t_patch_size": 5, "temporal_kernel_size": 3, "temporal_conv_mlp_ratio": 1, "integration_mlp_ratio": 1,
            "integration_temporal_mlp_ratio": 0.25}


# --- the network -----------------------------------------------------------------------------


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def conv(p, name, x, stride=(1, 1, 1), padding=None):
    """A 3-D convolution that keeps the size of x [B c T h w] unless told otherwise."""
    weight = p[name + ".weight"]
    return F.conv3d(x, weight, p[name + ".bias"], stride, [k // 2 for k in weight.shape[2:]] if padding is None else padding)


def mlp(p, name, x):
    return linear(p, name + ".c_proj", quick_gelu(linear(p, name + ".c_fc", x)))


def temporal_block(p, name, z):
    """z: [B c T g g]. The activation follows the residual sum."""
    h = layer_norm(p, name + ".ln", z.movedim(1, -1)).movedim(-1, 1)
    h = quick_gelu(conv(p, name + ".temporal_net.c_fc1", h))
    return quick_gelu(z + conv(p, name + ".temporal_net.c_fc2", h))


def integration_block(p, name, u):
    """u: [B S N C]. The temporal half runs over the sparse frames of every token by itself; no residual."""
    h = layer_norm(p, name + ".ln_temporal", u).permute(0, 3, 1, 2)[..., None]  # [B C S N 1]
    h = conv(p, name + ".temporal_ffn.c_fc2", conv(p, name + ".temporal_ffn.c_fc1", h))
    h = conv(p, name + ".temporal_ffn.c_proj", quick_gelu(h))[..., 0].permute(0, 2, 3, 1)
    return mlp(p, name + ".ffn", layer_norm(p, name + ".ln", u)) + h


def cross_attention(p, name, query, memory):
    """One norm for queries, keys and values; no residual."""
    query, memory = layer_norm(p, name + ".ln_1", query), layer_norm(p, name + ".ln_1", memory)
    return attention(p, name + ".attn", query, memory, max(1, query.shape[-1] // 64))


def pooling(p, name, s, q, tokens):
    """s: [B S C] queries of frames, q: [B C] queries of clips, tokens: [B S N C]."""
    s = s + cross_attention(p, name + ".spatial_transformer", s.flatten(0, 1)[:, None], tokens.flatten(0, 1))[:, 0].view_as(s)
    s = s + mlp(p, name + ".output_map_spatial_cls_token", layer_norm(p, name + ".ln_out_spat_cls_token", s))
    keys = s + p[name + ".positional_embedding"]
    q = q + cross_attention(p, name + ".temporal_transformer", q[:, None], keys)[:, 0]
    q = q + mlp(p, name + ".output_map_cls_token", layer_norm(p, name + ".ln_out_temp_cls_token", q))
    return s, q


def dist_net(p, video, taps, model, act):
    """video: [B 3 T H W], taps: outputs [B S N D] of the selected layers in order. Returns video embeddings [B E]."""
    alpha, patch, grid = model["alpha"], model["patch_size"], model["image_size"] // model["patch_size"]
    of_tokens = lambda x: x.permute(2, 0, 1, 3).flatten(1, 2)  # as recorded: [N B*S C]
    z = conv(p, "dist_net.temporal_stem", video, (1, patch, patch), (model["t_patch_size"] // 2, 0, 0))
    act["temporal_stem"], r = z, 0
    for i, tap in enumerate(taps):
        z = act[f"temporal_nets.{i}"] = temporal_block(p, f"dist_net.temporal_nets.{i}", z)
        bridged = linear(p, f"dist_net.input_linears.{i}", tap)
        y = bridged + r
        # Nothing reads the sum after the last layer, which leaves the last of these weights without a gradient.
        up = linear(p, f"dist_net.integration2temporal_nets.{i}.linear_fuse", y[:, :, 1:]).unflatten(2, (grid, grid))
        up = act[f"integration2temporal_nets.{i}"] = up.permute(0, 4, 1, 2, 3).repeat_interleave(alpha, 2)
        name = f"dist_net.temporal2integration_nets.{i}"
        down = conv(p, name + ".linear_fuse", z, (alpha, 1, 1), 0).flatten(3).permute(0, 2, 3, 1)  # [B S N-1 C]
        down = torch.cat([p[name + ".cls_token"].transpose(1, 2).expand(len(down), -1, -1, -1), down], 2)
        u = y + down
        r = integration_block(p, f"dist_net.integration_nets.{i}", u)
        z = z + up
        act |= {f"input_linears.{i}": of_tokens(bridged), f"temporal2integration_nets.{i}": of_tokens(down),
                f"integration_nets.{i}": of_tokens(r)}
    tokens = r + u
    s = p["dist_net.aggregated_spatial_cls_token"].expand(*tokens.shape[:2], -1)
    q = p["dist_net.aggregated_cls_token"][0].expand(len(tokens), -1)
    for j in range(model["ada_pooling_layers"]):
        s, q = pooling(p, f"dist_net.adapooling_nets.{j}", s, q, tokens)
        act |= {f"adapooling.{j}.spatial_token": s.flatten(0, 1)[None], f"adapooling.{j}.temporal_token": q[None]}
    v = q + linear(p, "dist_net.proj_spatial_cls_token", taps[-1][:, :, 0].mean(1))
    act["ln_post"] = layer_norm(p, "dist_net.ln_post", v)
    act["video_embedding"] = act["ln_post"] @ p["dist_net.proj"]
    return act["video_embedding"]


def tower_outputs(p, video, model, act, activations=False):
    """What the frozen image tower makes of every alpha-th frame: [B S N D] for each selected layer."""
    sizes = model | {"heads": model.get("heads", model["width"] // 64)}
    frames = video.transpose(1, 2)  # [B T 3 H W]
    if activations:
        act["ln_pre"] = image_tokens(p, frames.flatten(0, 1), sizes)
    taps = []
    for i, x in enumerate(image_tower(p, frames[:, ::model["alpha"]].flatten(0, 1), sizes, {})):
        if i in model["selected_layers"]:
            act[f"backbone.{i}"] = x.transpose(0, 1)
            taps.append(x.unflatten(0, (len(video), -1)))
        if len(taps) == len(model["selected_layers"]):
            return taps


def logits_of(p, embeddings, texts):
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)
    return p["logit_scale"].exp() * unit(embeddings) @ unit(texts).T


def soft_targets(labels, classes, smoothing):
    return F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


# --- training --------------------------------------------------------------------------------


def is_trained(name):
    return "dist_net." in name


def is_unread(name, model):
    return f"integration2temporal_nets.{len(model['selected_layers']) - 1}." in name


def optimizer_groups(state, options):
    """The five groups as they are evidently meant; the first rule that fits decides."""
    names = [[] for _ in range(5)]
    for name in filter(is_trained, state):
        pooled, plain = "adapooling_nets" in name, "bias" in name or state[name].dim() == 1
        alone = name.endswith(("cls_token", "positional_embedding"))
        names[0 if alone else 1 + 2 * (not pooled) + plain].append(name)
    decays = [options["new_net_weight_decay"] if i in (1, 3) else 0.0 for i in range(5)]
    return [{"weight_decay": decay, "parameters": group} for decay, group in zip(decays, names)]


def learning_rate(options):
    return options["base_lr"] * options["new_net_lrmult"]


def run_case(state, inputs, config, steps, dtype=torch.float32, activations=False):
    """Everything a case records, plus grads: the gradients of every step. Names in both are the original's."""
    model, options = DEFAULTS | config["model"], config["optimizer"]
    p = {name: t.to(dtype, copy=True) for name, t in state.items()}
    video, targets = inputs["video"].to(dtype), inputs["targets"].to(dtype)
    out, all_grads, losses, frozen = {}, [], [], {}
    with torch.no_grad():
        taps = tower_outputs(p, video, model, frozen, activations)
        texts = frozen["text_embedding"] = text_tower(p, inputs["texts"], {"model": model, "text": model["text"]}, {})[1]
    wanted = [name for name in p if (is_trained(name) and not is_unread(name, model)) or name == "logit_scale"]
    for name in wanted:
        p[name].requires_grad_()
    groups = [{"params": [p[name] for name in group["parameters"]], "weight_decay": group["weight_decay"]}
              for group in optimizer_groups(p, options)]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate(options), betas=(0.9, 0.999), eps=1e-8)

    def evaluate(prefix):
        with torch.no_grad():
            out[prefix + ".logits"] = logits_of(p, dist_net(p, video, taps, model, {}), texts)

    evaluate("eval")
    out["eval.probabilities"] = out["eval.logits"].softmax(-1)
    for step in range(max(1, steps)):
        act = dict(frozen)
        logits = logits_of(p, dist_net(p, video, taps, model, act), texts)
        per_sample = -(targets * logits.log_softmax(-1)).sum(-1)
        optimizer.zero_grad(set_to_none=True)
        p["logit_scale"].grad = None
        per_sample.mean().backward()
        all_grads.append({PREFIX + name: p[name].grad.clone() for name in wanted})
        losses.append(per_sample.mean().detach())
        if step == 0:
            out |= {"train.logits": logits.detach(), "train.loss_per_sample": per_sample.detach(), "train.loss": losses[0]}
            out |= {"grad." + name: grad for name, grad in all_grads[0].items()}
            out |= {"act." + name: value.detach() for name, value in act.items() if activations or name == "text_embedding"}
        if steps:
            optimizer.step()
    if steps:
        out["step.losses"] = torch.stack(losses)
        out |= {"step3." + PREFIX + name: p[name].detach() for name in wanted}
        evaluate("eval_after")
    return out, all_grads


# --- cases -----------------------------------------------------------------------------------


def dist_weights(init, model):
    """Of the true shapes, and nothing at zero, which would hide errors."""
    C, c, S = model["integration_dim"], model["temporal_dim"], model["frames"] // model["alpha"]
    D, patch, k = model["width"], model["patch_size"], model["temporal_kernel_size"]
    hidden = [int(width * model[name + "_mlp_ratio"])
              for width, name in ((c, "temporal_conv"), (C, "integration"), (C, "integration_temporal"))]

    def convolution(name, shape):
        bound = float(np.prod(shape[1:]))**-0.5
        init.uniform(name + ".weight", shape, bound)
        init.uniform(name + ".bias", shape[:1], bound)

    def perceptron(name, width, inner):
        init.affine(name + ".c_fc", inner, width)
        init.affine(name + ".c_proj", width, inner)

    init.normal("dist_net.proj", (C, model["embed_dim"]), C**-0.5)
    init.normal("dist_net.aggregated_cls_token", (1, 1, C), 0.5)
    init.normal("dist_net.aggregated_spatial_cls_token", (1, 1, C), 0.5)
    convolution("dist_net.temporal_stem", (c, 3, model["t_patch_size"], patch, patch))
    for i in range(len(model["selected_layers"])):
        init.affine(f"dist_net.input_linears.{i}", C, D)
        init.affine(f"dist_net.integration2temporal_nets.{i}.linear_fuse", c, C)
        init.normal(f"dist_net.temporal2integration_nets.{i}.cls_token", (1, 1, S, C), 0.5)
        convolution(f"dist_net.temporal2integration_nets.{i}.linear_fuse", (C, c, model["alpha"], 1, 1))
        convolution(f"dist_net.temporal_nets.{i}.temporal_net.c_fc1", (hidden[0], c, k, 1, 1))
        convolution(f"dist_net.temporal_nets.{i}.temporal_net.c_fc2", (c, hidden[0], 1, 3, 3))
        init.norm(f"dist_net.temporal_nets.{i}.ln", c)
        name = f"dist_net.integration_nets.{i}"
        perceptron(name + ".ffn", C, hidden[1])
        convolution(name + ".temporal_ffn.c_fc1", (hidden[2], C, 1, 1, 1))
        convolution(name + ".temporal_ffn.c_fc2", (hidden[2], hidden[2], k, 1, 1))
        convolution(name + ".temporal_ffn.c_proj", (C, hidden[2], 1, 1, 1))
        init.norm(name + ".ln", C)
        init.norm(name + ".ln_temporal", C)
    for j in range(model["ada_pooling_layers"]):
        name = f"dist_net.adapooling_nets.{j}"
        init.normal(name + ".positional_embedding", (1, S, C), 0.5)
        for part, end in (("temporal", ""), ("spatial", "_spatial")):
            init.attention(f"{name}.{part}_transformer.attn", C, C**-0.5)
            init.norm(f"{name}.{part}_transformer.ln_1", C)
            perceptron(f"{name}.output_map{end}_cls_token", C, 4 * C)
            init.norm(f"{name}.ln_out_{part[:4]}_cls_token", C)
    init.affine("dist_net.proj_spatial_cls_token", C, D)
    init.norm("dist_net.ln_post", C)


def tower_weights(init, model):
    init.image_tower(model)
    init.norm("visual.ln_post", model["width"])
    init.normal("visual.proj", (model["width"], model["embed_dim"]), model["width"]**-0.5)


def class_texts(init, classes, text):
    """Start token, words, end token, zeros."""
    rows = torch.zeros((classes, text["context"]), dtype=torch.int64)
    for row in rows:
        length = int(torch.randint(1, text["words"] - 1, (1,), generator=init.generator))
        row[0], row[length + 1] = text["vocab"] - 2, text["vocab"] - 1
        row[1:length + 1] = torch.randint(1, text["vocab"] - 2, (length,), generator=init.generator)
    return rows


def whole_numbers(text):
    return [int(number) for number in text.split(",")]


def fail(reason):
    sys.exit("Cannot make the case: " + reason)


def sizes_of(args):
    preset = PRESETS[args.arch] if args.arch else ()
    model = dict(zip(("image_size", "patch_size", "width", "heads", "layers"), preset))
    if preset:
        model["embed_dim"] = preset[-1]
    chosen = {"image_size": args.image, "patch_size": args.patch, "width": args.width, "heads": args.heads,
              "layers": args.layers, "embed_dim": args.embed_dim}
    model |= {name: value for name, value in chosen.items() if value is not None}
    selected = range(model["layers"]) if args.selected is None else sorted(set(args.selected))
    model |= {"frames": args.frames, "alpha": args.ratio, "integration_dim": args.side_dim, "temporal_dim": args.temporal_dim,
              "ada_pooling_layers": args.pooling, "selected_layers": list(selected)}
    ratios = [float(value) for value in args.mlp.split(",")]
    if len(ratios) != 3:
        fail(f"--mlp takes three ratios (temporal blocks, integration, integration over time), current value is {args.mlp}")
    given = dict(zip(DEFAULTS, (args.stem_frames, args.kernel, *ratios)))
    model |= {name: value for name, value in given.items() if value != DEFAULTS[name]}
    model["text"] = {"vocab": args.vocab, "context": args.context, "width": args.text_width, "heads": args.text_heads,
                     "layers": args.text_layers, "words": args.context - 4}
    if model["image_size"] % model["patch_size"] or model["width"] % model["heads"] or args.text_width % args.text_heads:
        fail(f"the image must hold whole patches and the widths whole heads, current sizes are {model}")
    if args.frames % args.ratio or args.side_dim % max(1, args.side_dim // 64):
        fail(f"the frames must hold whole groups and the side width whole heads of about 64, current sizes are {model}")
    if not (args.stem_frames % 2 and args.kernel % 2):
        fail(f"kernels over time must be odd, current values are {args.stem_frames} and {args.kernel}")
    if not (model["selected_layers"] and 0 <= min(selected) and max(selected) < model["layers"] and args.pooling > 0):
        fail(f"there must be a pooling layer and a selected layer of the tower, current sizes are {model}")
    return model


def original_options(model):
    """The options of the original's model file that give these sizes."""
    of = DEFAULTS | model
    return {"ENABLE": True, "S_PATCH_SIZE": of["patch_size"], "T_PATCH_SIZE": of["t_patch_size"],
            "SPATIAL_CLS_TOKEN_INIT_AS_ZERO": False, "TEMPORAL_USE_LAYER_NORM": True} | \
        {name.upper(): of[name] for name in (*list(DEFAULTS)[1:], "ada_pooling_layers", "integration_dim", "temporal_dim",
                                             "selected_layers")}


def make(args):
    model = sizes_of(args)
    options = {"base_lr": args.base_lr, "new_net_lrmult": 10.0, "new_net_weight_decay": 1e-4, "weight_decay": 0.001,
               "betas": [0.9, 0.999], "label_smoothing": 0.1}
    config = {"seed": args.seed, "num_classes": args.classes, "batch": args.batch, "model": model, "optimizer": options,
              "dump_activations": args.activations == "all"}
    init = Init(args.seed)
    tower_weights(init, model)
    dist_weights(init, DEFAULTS | model)
    init.text_tower(model["text"], model["embed_dim"])
    image = model["image_size"]
    inputs = {"video": torch.randn((args.batch, 3, args.frames, image, image), generator=init.generator),
              "texts": class_texts(init, args.classes, model["text"]),
              "labels": torch.randint(args.classes, (args.batch,), generator=init.generator)}
    inputs["targets"] = soft_targets(inputs["labels"], args.classes, options["label_smoothing"])
    steps, note = 3 * args.step3, {"noisy_gradients": {}, "null_gradient_parameters": []}
    out, grads = run_case(init.state, inputs, config, steps, activations=args.activations == "all")
    if args.float64:
        exact = run_case(init.state, inputs, config, steps, torch.float64)
        masks, note = judge(out, grads, *exact, {"optimizer": {"lr": learning_rate(options)}}, steps)
        out |= masks
    if args.grads != "all":
        words = () if args.grads == "none" else tuple(args.grads.split(","))
        out = {k: v for k, v in out.items() if not k.startswith("grad.") or any(word in k for word in words)}
    unread = [PREFIX + name for name in init.state if is_trained(name) and is_unread(name, model)]
    frozen = [PREFIX + name for name in init.state if not is_trained(name) and name != "logit_scale"]
    note["null_gradient_parameters"] = note["null_gradient_parameters"] + unread
    common = {"lr": learning_rate(options), "betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False, "maximize": False}
    groups = [group | common | {"parameters": [PREFIX + name for name in group["parameters"]]}
              for group in optimizer_groups(init.state, options)]
    tensors = {"state." + PREFIX + name: t for name, t in init.state.items()}
    tensors |= {"input." + name: t for name, t in inputs.items()}
    save_case(args, tensors | out, {
        "system": "dist", "config": config, "resolved_original_config": {"DIST": original_options(model)},
        "layout": "video is [B, 3, T, H, W] with T = all (dense) frames; the image tower sees frames 0, alpha, 2*alpha, ...; "
                  "texts is [classes, context] token ids, zero padded, the largest id is the end token",
        "heads": "backbone and text as in config; pooling attention max(1, integration_dim // 64)",
        "criterion": "soft-target cross entropy on input.targets = one-hot smoothed by label_smoothing over all classes",
        "extra": {"eval.probabilities": "softmax of eval.logits",
                  "act.text_embedding": "text features [classes, embed_dim], before normalisation",
                  "act.backbone.<i>": "numbered as in the tower, the others as in the list of selected layers"},
        **note, "step3_dumped": bool(steps), "trainable": [PREFIX + name for name in init.state],
        "trainable_without_gradient": frozen + unread, "frozen": [], "optimizer_groups": groups})


def verify(args):
    """Replays recorded cases in float64 and prints the worst error of each kind of tensor."""
    failed = False
    for path in args.cases:
        with open(path) as file:
            case = json.load(file)
        tensors = read_safetensors(os.path.join(os.path.dirname(path), case["file"]))
        state = {name[len("state." + PREFIX):]: t.float() for name, t in tensors.items() if name.startswith("state.")}
        inputs = {name[6:]: t for name, t in tensors.items() if name.startswith("input.")}
        steps = 3 if "step.losses" in tensors else 0
        out, _ = run_case(state, inputs, case["config"], steps, torch.float64, activations=True)
        failed |= print_errors(path, case, tensors, out, 0.1 * learning_rate(case["config"]["optimizer"]))
        if "optimizer_groups" in case:
            ours = optimizer_groups(state, case["config"]["optimizer"])
            same = [(g["weight_decay"], {PREFIX + name for name in g["parameters"]}) for g in ours] == \
                [(g["weight_decay"], set(g["parameters"])) for g in case["optimizer_groups"]]
            failed |= not same
            print(f"  {'optimizer groups':20} {'the same' if same else 'FAIL'}")
    sys.exit(1 if failed else 0)


def appendix(args):
    """Compares a tiny model made from formulas with the figures of the original modules."""
    init = Init(0)
    tower_weights(init, MODEL)
    dist_weights(init, DEFAULTS | MODEL)
    names = sorted(init.state)
    p = {name: weight_value(name, init.state[name].shape, k) for k, name in enumerate(names)}
    p["logit_scale"] = torch.tensor(2.0)
    video, texts = 4 * formula((2, 3, 4, 16, 16), 1000), formula((3, 16), 1001)
    count = (len(names), sum(p[name].numel() for name in names), sum(p[name].numel() for name in names if is_trained(name)))
    same = count == SCALARS and all(names[k] == name for k, name in NAMES.items())
    print(f"{'names and elements':72} {'the same' if same else 'FAIL'} {count}")
    wanted = [name for name in names if is_trained(name) and not is_unread(name, MODEL)]
    dtype, act, worst = torch.float64 if args.double else torch.float32, {}, {"shape": 0.0 if same else 1.0}
    p, video, texts = {name: t.to(dtype) for name, t in p.items()}, video.to(dtype), texts.to(dtype)
    taps = tower_outputs(p, video, MODEL, act)
    for name in wanted:
        p[name].requires_grad_()
    logits = logits_of(p, dist_net(p, video, taps, DEFAULTS | MODEL, act), texts)
    targets = soft_targets(torch.tensor([0, 2]), 3, 0.1).to(dtype)
    targets = 0.75 * targets + 0.25 * targets.flip(0)  # as mixing does
    loss = -(targets * logits.log_softmax(-1)).sum(-1).mean()
    grads = dict(zip(wanted, torch.autograd.grad(loss, [p[name] for name in wanted])))
    for i, r in enumerate((0, act["integration_nets.0"])):
        act[f"y.{i}"] = act[f"input_linears.{i}"] + r
        act[f"u.{i}"] = act[f"y.{i}"] + act[f"temporal2integration_nets.{i}"]
    act["before_ln_post"] = act["adapooling.1.temporal_token"][0] + \
        linear(p, "dist_net.proj_spatial_cls_token", taps[-1][:, :, 0].mean(1))

    def show(kind, name, error, limit):
        worst[kind] = max(worst.get(kind, 0.0), error / limit)
        print(f"{kind:14} {name:57} {error:.1e} {'ok' if error < limit else 'FAIL'}")

    inputs = {"video": video, "texts": texts}
    for name, (first, last) in FIRST.items():
        values = inputs[name].flatten()
        found = [*values[:len(first)], *values[len(values) - len(last):]]
        show("input", name, max(abs(float(a) - b) for a, b in zip(found, first + last)), 2e-6)
    for name, (shape, mean, *values) in VECTOR.items():
        found = act[name].detach()
        if tuple(found.shape) != shape:
            show("shape", f"{name} {tuple(found.shape)}", 1.0, 1.0)
        flat = found.flatten()
        error = max(abs(float(a) - b) for a, b in zip([*flat[:4], *flat[-2:], flat.abs().mean()], [*values, mean]))
        show("intermediate", name, error, 2e-5)
    show("logits", "", float((logits - torch.tensor(LOGITS)).abs().max()), 2e-5)
    show("loss", "", abs(float(loss) - LOSS), 1e-5)
    for name, norm in GRADIENTS.items():
        show("gradient norm", name, abs(float(grads["dist_net." + name].norm()) / norm - 1), 1e-5)
    sys.exit(1 if max(worst.values()) >= 1 else 0)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="replay recorded cases")
    check.add_argument("cases", nargs="+")
    check.set_defaults(run=verify)
    vector = commands.add_parser("appendix", help="check the conformance vector")
    vector.add_argument("--double", action="store_true", help="compute in float64")
    vector.set_defaults(run=appendix)
    small = commands.add_parser("make", help="make a case; defaults are tiny")
    small.set_defaults(arch=None)
    full = commands.add_parser("step", help="make a case of a published size")
    full.add_argument("--arch", choices=PRESETS, default="ViT-B/16", help="sizes not given below come from here")
    tiny = {"image": 20, "patch": 4, "width": 64, "heads": 1, "layers": 2, "embed-dim": 16, "side-dim": 64, "temporal-dim": 12,
            "frames": 4, "classes": 5, "batch": 2}
    usual = {"side-dim": 384, "temporal-dim": 96, "frames": 16, "classes": 174, "batch": 1}
    for command, defaults in ((small, tiny), (full, usual)):
        for name in tiny:
            command.add_argument("--" + name, type=int, default=defaults.get(name))
        command.add_argument("--ratio", type=int, default=2, help="dense frames of a sparse one")
        command.add_argument("--pooling", type=int, default=2, help="pooling layers")
        command.add_argument("--mlp", default="1,1,0.25", help="ratios of temporal blocks, integration, integration over time")
        command.add_argument("--kernel", type=int, default=3, help="frames of the kernels of the blocks")
        command.add_argument("--stem-frames", type=int, default=5, help="frames of the kernel of the stem")
        command.add_argument("--selected", type=whole_numbers, help="layers of the tower, from 0, with commas; default all")
        command.add_argument("--seed", type=int, default=1)
        for name, value in (("vocab", 96), ("context", 16), ("text-width", 64), ("text-heads", 1), ("text-layers", 2)):
            command.add_argument("--" + name, type=int, default=value)
        command.add_argument("--base-lr", type=float, default=3.2e-5)
        command.add_argument("--step3", action="store_true", help="record three optimizer steps")
        command.add_argument("--activations", choices=("all", "none"), default="none")
        command.add_argument("--grads", default="all", help="all, none, or parts of names, separated by commas")
        command.add_argument("--no-float64", dest="float64", action="store_false", help="skip the float64 run (no masks)")
        command.add_argument("--out", required=True, help="folder")
        command.add_argument("--name", default="case", help="file name without its ending")
        command.set_defaults(run=make)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    arguments.run(arguments)
