"""
Makes parity cases of any size for Side4Video (recognition, CLIP and EVA-CLIP backbones), TDS-CLIP and the CLIP towers
with plain PyTorch, and replays recorded ones. See README.md for the commands.
"""
import argparse
import json
import os
import sys

import torch

from eva import eva_side_forward, eva_weights
from network import BN_STATS, clip_forward, is_trainable, side_forward, smoothed_cross_entropy
from safetensors_file import read_safetensors, write_safetensors
from start_weights import PRESETS, Init


# --- one recorded run ------------------------------------------------------------------------


def copy_state(state, dtype=torch.float32):
    p = {name: (t.to(dtype) if t.is_floating_point() else t).clone() for name, t in state.items()}
    for name in p:
        p[name].requires_grad_(is_trainable(name))
    return p


def make_optimizer(p, options):
    """AdamW on the trainable tensors; batch norms have a group of their own, and decay reaches everything."""
    groups = ([], [])
    for name in filter(is_trainable, p):
        groups["bn" in name and "side" in name].append(p[name])
    bn_lr = options["lr"] if options["sync_bn"] else options["lr"] / options["grad_accumulation_steps"]
    return torch.optim.AdamW([{"params": groups[0]}, {"params": groups[1], "lr": bn_lr}], lr=options["lr"],
                             betas=options["betas"], eps=1e-8, weight_decay=options["weight_decay"])


def run_case(state, frames, labels, config, steps, dtype=torch.float32, activations=False):
    """Everything a case records, plus grads: the gradients of every step."""
    model, options = config["model"], config["optimizer"]
    p, frames, out, grads = copy_state(state, dtype), frames.to(dtype), {}, []
    forward = eva_side_forward if "vision_cfg" in model else side_forward
    evaluate = lambda: forward(p, frames, model, False, {}).detach()
    with torch.no_grad():
        out["eval.logits"] = evaluate()
    optimizer, losses = make_optimizer(p, options), []
    for step in range(max(1, steps)):
        act = {}
        logits = forward(p, frames, model, True, act)
        per_sample = smoothed_cross_entropy(logits, labels, options["smoothing"])
        optimizer.zero_grad(set_to_none=True)
        per_sample.mean().backward()
        grads.append({name: p[name].grad.clone() for name in p if is_trainable(name)})
        losses.append(per_sample.mean().detach())
        if step == 0:
            out.update({"train.logits": logits.detach(), "train.loss_per_sample": per_sample.detach(),
                        "train.loss": losses[0]})
            out.update({"grad." + name: grad for name, grad in grads[0].items()})
            out.update({"after_forward." + name: p[name].clone() for name in p if name.endswith(BN_STATS)})
            if activations:
                out.update({"act." + name: value.detach() for name, value in act.items()})
        if steps:
            optimizer.step()
    if steps:
        out["step.losses"] = torch.stack(losses)
        out.update({"step3." + name: p[name].detach() for name in p if is_trainable(name) or name.endswith(BN_STATS)})
        with torch.no_grad():
            out["eval_after.logits"] = evaluate()
    return out, grads


def max_abs(a, b):
    return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0


def judge(out, grads, exact, exact_grads, config, steps):
    """
    What float64 says about the float32 run: errors for the JSON, and masks for the steps.

    A weight is determined after the steps when each of its gradients stands clear of the rounding noise
    of its tensor, and when the two runs agree on it to a thousandth of the distance Adam may go.
    """
    largest = max(float(g.abs().max()) for g in exact_grads[0].values())
    null, noisy, masks, fractions, worst = [], {}, {}, {}, 0.0
    for name, grad in exact_grads[0].items():
        peak = float(grad.abs().max())
        error = max_abs(grad, grads[0][name])
        if peak < 1e-10 * largest:
            null.append(name)
        else:
            worst = max(worst, error / peak)
            if error > 1e-5 * peak:
                noisy[name] = float(f"{error / peak:.1e}")
        if not steps:
            continue
        known = (exact["step3." + name] - out["step3." + name]).abs() < 1e-3 * steps * config["optimizer"]["lr"]
        for g32, g64 in zip(grads, exact_grads):
            known &= g64[name].abs() > max(100 * max_abs(g32[name], g64[name]), 1e-7)
        if not bool(known.all()):
            masks["step3_mask." + name] = known.to(torch.uint8)
            fractions[name] = round(1 - float(known.double().mean()), 4)
    for name in out if steps else ():
        if name.startswith("step3.") and name.endswith(BN_STATS):
            if max_abs(exact[name], out[name]) > 1e-3:  # statistics of activations that such weights have moved
                masks["step3_mask." + name[6:]] = torch.zeros(out[name].shape, dtype=torch.uint8)
    errors = {"logits_max_abs": max_abs(out["train.logits"], exact["train.logits"]),
              "eval_logits_max_abs": max_abs(out["eval.logits"], exact["eval.logits"]),
              "loss_abs": max_abs(out["train.loss"], exact["train.loss"]), "grad_max_rel_to_tensor_max": worst}
    if steps:
        errors["eval_after_logits_max_abs"] = max_abs(out["eval_after.logits"], exact["eval_after.logits"])
        errors["step3_max_abs_where_determined"] = max(
            float(((out[k] - exact[k]).abs() * masks.get("step3_mask" + k[5:], torch.ones(1))).max())
            for k in out if k.startswith("step3.") and k[6:] in exact_grads[0])
    return masks, {"float32_against_float64": errors, "noisy_gradients": noisy, "null_gradient_parameters": null,
                   "step3_undetermined_fraction": fractions}


# --- commands --------------------------------------------------------------------------------


def sizes_of(args):
    names = ("image_size", "patch_size", "width", "heads", "layers", "side_dim", "embed_dim")
    chosen = (args.image, args.patch, args.width, args.heads, args.layers, args.side_dim, args.embed_dim)
    model = {name: preset if value is None else value
             for name, preset, value in zip(names, PRESETS[args.arch], chosen)}
    if model["image_size"] % model["patch_size"] or model["width"] % model["heads"]:
        sys.exit(f"Cannot make the case: the image must hold whole patches and the width whole heads, current sizes are {model}")
    return model


def save_case(args, tensors, description):
    os.makedirs(args.out, exist_ok=True)
    write_safetensors(os.path.join(args.out, args.name + ".safetensors"), tensors)
    made_with = {"torch": torch.__version__, "device": "cpu", "threads": args.threads}
    description |= {"case": args.name, "file": args.name + ".safetensors", "made_with": made_with}
    with open(os.path.join(args.out, args.name + ".json"), "w") as file:
        json.dump(description, file, indent=1)
    print(f"{args.out}/{args.name}.json: {len(tensors)} tensors, "
          f"{sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6:.1f} MB")
    print(json.dumps(description.get("float32_against_float64", {})))


def make_step_case(args):
    model = sizes_of(args) | {"frames": args.frames}
    differences = args.system == "tds-clip"
    if differences:
        model |= {"num_diff": 5, "sme_scale": args.sme_scale}
    init = Init(args.seed)
    init.image_tower(model)
    init.side_network(model, args.classes)
    pictures = args.batch * args.frames * (5 if differences else 1)
    record_steps(args, args.system, model, init, (pictures, 3, model["image_size"], model["image_size"]))


def make_eva_case(args):
    options = {name: True for name in ("postnorm", "subln", "naiveswiglu", "rope") if getattr(args, name)}
    if args.rope:
        options |= {"pt_hw_seq_len": args.span, "intp_freq": True}
    cfg = {"image_size": args.image, "patch_size": args.patch, "width": args.width, "head_width": args.head_width,
           "layers": args.layers, "mlp_ratio": args.mlp_ratio, "drop_path_rate": 0, "xattn": True, "fusedLN": True} | options
    if args.image % args.patch or args.width % args.head_width or args.layers < 2:
        sys.exit(f"Cannot make the case: the image must hold whole patches, the width whole heads and there must be two layers, current sizes are {cfg}")
    model = {"embed_dim": 24, "frames": args.frames, "side_dim": args.side_dim, "vision_cfg": cfg}
    init = Init(args.seed)
    eva_weights(init, model, args.classes)
    record_steps(args, "side4video-eva", model, init, (args.batch * args.frames, 3, args.image, args.image))


def record_steps(args, system, model, init, shape):
    """Records a training case on random frames of the given shape."""
    options = {"lr": args.lr, "weight_decay": 0.15, "betas": [0.9, 0.999], "clip_ratio": 1, "sync_bn": False,
               "grad_accumulation_steps": 1, "smoothing": 0.1}
    config = {"seed": args.seed, "num_classes": args.classes, "batch": args.batch, "model": model,
              "optimizer": options, "dump_step3": args.step3, "dump_activations": args.activations == "all"}
    frames = torch.randn(shape, generator=init.generator)
    labels = torch.randint(args.classes, (args.batch,), generator=init.generator)
    steps, note = 3 * args.step3, {}
    out, grads = run_case(init.state, frames, labels, config, steps, activations=args.activations == "all")
    if args.float64:
        masks, note = judge(out, grads, *run_case(init.state, frames, labels, config, steps, torch.float64), config, steps)
        out |= masks
    if args.grads != "all":
        words = () if args.grads == "none" else tuple(args.grads.split(","))
        out = {k: v for k, v in out.items() if not k.startswith("grad.") or any(word in k for word in words)}
    trainable = [name for name in init.state if is_trainable(name)]
    frozen = [name for name in init.state if name not in trainable and not name.endswith(BN_STATS)]
    tensors = {"state." + name: t for name, t in init.state.items()} | {"input.frames": frames, "input.labels": labels}
    save_case(args, tensors | out, {
        "system": system, "config": config,
        "layout": "frames is [B*T, 3, H, W], frame-major inside a video; TDS-CLIP: [B*T*5, 3, H, W]",
        "criterion": "label smoothing 0.1: (1-s)*nll + s*mean_k(-log p_k)", "noisy_gradients": {},
        "null_gradient_parameters": [], **note, "step3_dumped": bool(steps), "trainable": trainable, "frozen": frozen})


def make_clip_case(args):
    model = sizes_of(args) | {"frames": 1, "side_dim": 0}
    text = {"vocab": args.vocab, "context": args.context, "width": args.text_width, "heads": args.text_heads,
            "layers": args.text_layers, "words": args.context - 2}
    config = {"seed": args.seed, "model": model, "batch": args.batch, "text": text,
              "dump_activations": args.activations == "all"}
    init, image = Init(args.seed), model["image_size"]
    init.image_tower(model)
    init.norm("visual.ln_post", model["width"])
    init.normal("visual.proj", (model["width"], model["embed_dim"]), model["width"]**-0.5)
    init.text_tower(text, model["embed_dim"])
    images = torch.randn((args.batch, 3, image, image), generator=init.generator)
    texts = torch.zeros((args.texts, args.context), dtype=torch.int64)
    for row in texts:  # start token, words, end token, zeros
        length = int(torch.randint(1, args.context - 1, (1,), generator=init.generator))
        row[0], row[length + 1] = args.vocab - 2, args.vocab - 1
        row[1:length + 1] = torch.randint(1, args.vocab - 2, (length,), generator=init.generator)
    with torch.no_grad():
        out = clip_forward(init.state, images, texts, config)
        exact = clip_forward({k: v.double() for k, v in init.state.items()}, images.double(), texts, config)
    errors = {name: max_abs(out[name], exact[name]) for name in ("image_embedding", "text_embedding", "logits_per_image")}
    if args.activations == "none":
        out = {name: value for name, value in out.items() if not name.startswith("act.")}
    tensors = {"state." + name: t for name, t in init.state.items()} | {"input.images": images, "input.texts": texts}
    save_case(args, tensors | out, {"system": "clip-vit", "config": config, "float32_against_float64": errors})


def print_errors(path, case, tensors, out, step_limit=1e-4):
    """Prints the worst error of each kind of tensor of a recorded case; true where one is too large."""
    failed, worst, null = False, {}, case.get("null_gradient_parameters", ())
    for name, want in tensors.items():
        kind, _, key = name.partition(".")
        if kind in ("state", "input", "step3_mask") or key in null and kind in ("grad", "step3"):
            continue
        error = (out[name].double() - want.double()).abs()
        scale, limit = float(want.double().abs().max()) or 1.0, 1e-5
        if kind == "grad":
            limit = 1e-3 + case["noisy_gradients"].get(key, 0)
        elif kind == "eval_after":
            scale, limit = 1.0, 10 * case["float32_against_float64"]["eval_after_logits_max_abs"]
        elif kind == "step3":
            error, scale, limit = error * tensors.get("step3_mask." + key, 1), 1.0, step_limit
            if key.endswith(BN_STATS):  # statistics of activations that such weights have moved
                kind, limit = "step3 statistics", 1e-2
            else:  # Adam turns the rounding noise of a tiny gradient into full steps
                grad = tensors["grad." + key].abs()
                error = error * (grad > 1e-5 * grad.max())
        error = float(error.max()) / scale
        failed |= not error < limit
        worst[kind] = max(worst.get(kind, (0.0, "", 0.0)), (error, name, limit))
    print(path)
    for kind, (error, name, limit) in worst.items():
        print(f"  {kind:20} {error:.2e} {'ok  ' if error < limit else 'FAIL'} {name}")
    return failed


def verify(args):
    """Replays recorded cases and prints the worst error of each kind of tensor."""
    failed = False
    for path in args.cases:
        with open(path) as file:
            case = json.load(file)
        tensors = read_safetensors(os.path.join(os.path.dirname(path), case["file"]))
        state = {name[6:]: t for name, t in tensors.items() if name.startswith("state.")}
        if case["system"] == "clip-vit":
            state = {name: t.float() for name, t in state.items()}
            with torch.no_grad():
                out = clip_forward(state, tensors["input.images"], tensors["input.texts"], case["config"])
        else:
            steps = 3 if "step.losses" in tensors else 0
            # In float64, so that the error shown is the recorded one and not the sum of two rounding noises.
            out, _ = run_case(state, tensors["input.frames"], tensors["input.labels"], case["config"], steps,
                              torch.float64, activations=True)
        failed |= print_errors(path, case, tensors, out)
    sys.exit(1 if failed else 0)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="replay recorded cases")
    check.add_argument("cases", nargs="+")
    check.set_defaults(run=verify)
    step = commands.add_parser("step", help="make a training case of a side network")
    step.add_argument("--system", choices=("side4video", "tds-clip"), default="side4video")
    step.add_argument("--sme-scale", type=float, default=0.5, help="weight of the frame-difference stem (tds-clip)")
    eva = commands.add_parser("eva", help="make a training case of Side4Video on an EVA tower; defaults are tiny")
    for name, value in (("image", 40), ("patch", 8), ("width", 96), ("head-width", 24), ("layers", 4), ("side-dim", 64)):
        eva.add_argument("--" + name, type=int, default=value)
    eva.add_argument("--mlp-ratio", type=float, default=2.6667)
    eva.add_argument("--span", type=int, default=16, help="grid side of pretraining (rope)")
    for name in ("postnorm", "subln", "naiveswiglu", "rope"):
        eva.add_argument("--" + name, action="store_true")
    clip = commands.add_parser("clip", help="make a clip-vit case")
    for command in (step, clip):
        command.add_argument("--arch", choices=PRESETS, default="ViT-B/16", help="sizes not given below come from here")
        for name in ("image", "patch", "width", "heads", "layers", "side-dim", "embed-dim"):
            command.add_argument("--" + name, type=int)
    for command in (step, clip, eva):
        command.add_argument("--batch", type=int, default=2)
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--activations", choices=("all", "none"), default="none")
        command.add_argument("--out", required=True, help="folder")
        command.add_argument("--name", default="case", help="file name without its ending")
    for command in (step, eva):
        command.add_argument("--frames", type=int, default=8)
        command.add_argument("--classes", type=int, default=174)
        command.add_argument("--lr", type=float, default=1e-3)
        command.add_argument("--step3", action="store_true", help="record three optimizer steps")
        command.add_argument("--grads", default="all", help="all, none, or parts of names, separated by commas")
        command.add_argument("--no-float64", dest="float64", action="store_false", help="skip the float64 run (no masks)")
    step.set_defaults(run=make_step_case)
    eva.set_defaults(run=make_eva_case)
    for name, value in (("vocab", 96), ("context", 16), ("text-width", 64), ("text-heads", 2), ("text-layers", 3), ("texts", 6)):
        clip.add_argument("--" + name, type=int, default=value)
    clip.set_defaults(run=make_clip_case)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    arguments.run(arguments)
