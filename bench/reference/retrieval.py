"""
Side4Video for text-video retrieval (CLIP and EVA-CLIP) in plain PyTorch: replays recorded cases and makes others of any size.
See README.md for the commands. Names of weights are the original's, without "clip." inside; legend as in network.py, with
A sentences, L words, E joint embedding.
"""
import argparse
import json
import math
import os
import sys

import torch
import torch.nn.functional as F

from eva import eva_side_block, eva_tower, eva_weights, norm
from network import (BN_STATS, attention, batch_norm, clip_block, image_tower, layer_norm, linear, shift_class_token, stem,
                     temporal_conv)
from safetensors_file import read_safetensors, write_safetensors
from start_weights import Init

OUTSIDE = ("text_weight_fc.", "video_weight_fc.")


def original(name):
    return name if name.startswith(OUTSIDE) else "clip." + name


def own(name):
    return name if name.startswith(OUTSIDE) else name[len("clip."):]


# --- the network -----------------------------------------------------------------------------


def text_tower(p, ids, config, act):
    """ids: [A L]; returns every token [A L E] and the end tokens [A E]."""
    is_eva = "vision_cfg" in config["model"]
    prefix, heads = "text." if is_eva else "", config["text"]["heads"]
    x = p[prefix + "token_embedding.weight"][ids] + p[prefix + "positional_embedding"][:ids.shape[1]]
    mask = torch.full((ids.shape[1], ids.shape[1]), -math.inf, dtype=x.dtype).triu(1)
    for i in range(config["text"]["layers"]):
        name = f"{prefix}transformer.resblocks.{i}"
        if is_eva:
            h = layer_norm(p, name + ".ln_1", x)
            x = x + attention(p, name + ".attn", h, h, heads, mask)
            x = x + linear(p, name + ".mlp.c_proj", F.gelu(linear(p, name + ".mlp.c_fc", layer_norm(p, name + ".ln_2", x))))
        else:
            x = clip_block(p, name, x, heads, mask)
        act[f"text.{i}"] = x.transpose(0, 1)
    tokens = layer_norm(p, prefix + "ln_final", x) @ p[prefix + "text_projection"]
    return tokens, tokens[torch.arange(len(ids)), ids.argmax(-1)]


def clip_side_block(p, name, s, cls, train):
    """As in recognition, with other names, and with a position for the class token too. s: [B*T P D], cls: [B T D]."""
    renamed = {f"conv.{i}.{kind}": p[f"{name}.{part}.{kind}"]
               for i, part in enumerate(("pw_conv1", "dw_conv1", "pw_conv2")) for kind in ("weight", "bias")}
    s = s + temporal_conv(renamed, "conv", batch_norm(p, name + ".norm1", s, train), cls.shape[1])
    tokens = torch.cat([cls.flatten(0, 1)[:, None], s], 1) + p["visual.transformer.side_spatial_position_embeddings"]
    tokens = layer_norm(p, name + ".ln_1", tokens)
    s = s + attention(p, name + ".attn", tokens, tokens, max(1, s.shape[-1] // 64))[:, 1:]
    return s + linear(p, name + ".mlp.fc2", F.gelu(linear(p, name + ".mlp.fc1", batch_norm(p, name + ".norm2", s, train))))


def frame_features(p, frames, model, train, act):
    """frames: [B*T 3 H W]; returns [B T E]."""
    T, cfg = model["frames"], model.get("vision_cfg")
    x = stem(p, "visual.side_conv1", frames, (cfg or model) | {"frames": T}, 0)
    s = batch_norm(p, "visual.side_pre_bn3d", x.permute(0, 2, 3, 4, 1), train)
    act["side_pre_bn3d"] = s.permute(0, 4, 1, 2, 3)
    grid = s.shape[2:4]
    s = s.flatten(0, 1).flatten(1, 2)  # [B*T P D]
    for i, tap in enumerate(eva_tower(p, frames, cfg) if cfg else image_tower(p, frames, model, act)):
        act[f"backbone.{i}"] = tap if cfg else tap.transpose(0, 1)
        k, block = (i // 2, eva_side_block) if cfg else (i, clip_side_block)
        if cfg and i % 2 == 0:
            continue
        if cfg:
            bridged = norm(p, f"visual.side_lns.{k}", linear(p, f"visual.side_linears.{k}", tap), 1e-5)
        else:
            at = "visual.transformer.side_"
            bridged = linear(p, f"{at}linears.{k}", layer_norm(p, f"{at}lns.{k}", tap))
        cls = shift_class_token(bridged[:, 0].unflatten(0, (-1, T)))
        name = f"visual.side_blocks.{k}" if cfg else f"visual.transformer.side_transformer.{k}"
        s = block(p, name, 0.5 * s + 0.5 * bridged[:, 1:], cls, train)
        act[f"side.{k}"] = s if cfg else s.transpose(0, 1)
    s = batch_norm(p, "visual.side_post_bn", s, train)
    act["side_post_bn"] = s.unflatten(0, (-1, T)).unflatten(2, grid).permute(0, 4, 1, 2, 3)
    o = tap[:, 0] + s.mean(1) @ p["visual.side_proj"]
    v = linear(p, "visual.head", norm(p, "visual.norm", o, 1e-6)) if cfg else layer_norm(p, "visual.ln_post", o) @ p["visual.proj"]
    act["frame_embeddings"] = v.unflatten(0, (-1, T))
    return act["frame_embeddings"]


def weigh(p, name, x, mask):
    score = linear(p, name + ".2", linear(p, name + ".0", x).relu())[..., 0]
    return score.masked_fill(mask == 0, -math.inf).softmax(-1)


def similarity(p, tokens, sentence, video, masks, config, train):
    """[A B]. masks: of words [A L] and of frames [B T]."""
    scale = p["logit_scale"].exp()
    if config["interaction"] != "wti":
        return scale * F.normalize(sentence, dim=-1) @ F.normalize(video.mean(1), dim=-1).T
    m, n = masks
    if "vision_cfg" not in config["model"]:
        n = torch.ones_like(n)  # beside CLIP the original takes every frame for one
    alpha, beta = weigh(p, "text_weight_fc", tokens, m), weigh(p, "video_weight_fc", video, n)
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)
    S = torch.einsum("ale,bte->ablt", unit(tokens), unit(video)) * m[:, None, :, None] * n[None, :, None, :]
    of_words = S.masked_fill(n[None, :, None, :] == 0, -math.inf).max(-1)[0]  # no word chooses a padded frame; in the original it scores 0
    sim = (torch.einsum("abl,al->ab", of_words, alpha) + torch.einsum("abt,bt->ab", S.max(-2)[0], beta)) / 2
    return sim * scale if train else sim


def forward(p, inputs, config, train, act):
    frames = inputs["video"].flatten(0, 3)
    masks = [inputs[name].flatten(1).to(frames.dtype) for name in ("input_mask", "video_mask")]
    tokens, sentence = text_tower(p, inputs["input_ids"].flatten(1), config, act)
    video = frame_features(p, frames, config["model"], train, act)
    wti = config["interaction"] == "wti"
    return {"similarity": similarity(p, tokens, sentence, video, masks, config, train),
            "text_output": tokens if wti else sentence, "video_output": video if wti else video.mean(1)}


# --- training --------------------------------------------------------------------------------


def is_trained(name, config):
    if name.endswith(BN_STATS):
        return False
    if name.startswith("visual."):
        return "side" in name or name.startswith(("visual.ln_post.", "visual.proj", "visual.norm.", "visual.head."))
    end = ("ln_final.", "text_projection", "logit_scale", *OUTSIDE)
    return not config.get("freeze_text") or name.removeprefix("text.").startswith(end)


class BertAdam:
    """No bias correction, eps outside the root, decay in the update; constant rate, as in the recorded cases."""

    def __init__(self, p, names, options):
        self.p, self.names, self.o = p, names, options
        self.m, self.v = ({name: torch.zeros_like(p[name]) for name in names} for _ in range(2))

    @torch.no_grad()
    def step(self, grads):
        o = self.o
        norm = math.sqrt(sum(float((g.double()**2).sum()) for g in grads.values()))
        factor = min(1.0, o["max_grad_norm"] / (norm + 1e-6))
        for name in self.names:
            slow = original(name).startswith("clip.") and "side" not in name
            g = grads[name] * factor
            g = g * min(1.0, o["max_grad_norm"] / (float(g.norm()) + 1e-6))
            m = self.m[name].mul_(o["b1"]).add_(g, alpha=1 - o["b1"])
            v = self.v[name].mul_(o["b2"]).addcmul_(g, g, value=1 - o["b2"])
            u = m / (v.sqrt() + o["e"])
            if "bias" not in name:
                u = u + o["weight_decay"] * self.p[name]
            self.p[name].sub_(o["lr"] * (o["coef_lr"] if slow else 1) * u)
        self.p["logit_scale"].clamp_(max=math.log(100))
        return norm


def run_case(state, inputs, config, dtype, steps=3):
    p = {name: (t.to(dtype) if t.is_floating_point() else t).clone() for name, t in state.items()}
    trained = [name for name in p if is_trained(name, config)]
    for name in trained:
        p[name].requires_grad_()
    inputs = {name: t.to(dtype) if name == "video" else t for name, t in inputs.items()}
    out, losses, norms, all_grads = {}, [], [], []

    def evaluate(prefix, names):
        with torch.no_grad():
            found = forward(p, inputs, config, False, {})
        out.update({f"{prefix}.{name}": found[name] for name in names})

    evaluate("eval", ("similarity", "text_output", "video_output"))
    optimizer = BertAdam(p, trained, config["optimizer"])
    for step in range(steps):
        act = {}
        sim = forward(p, inputs, config, True, act)["similarity"]
        labels = torch.arange(len(sim))
        loss = (F.cross_entropy(sim, labels) + F.cross_entropy(sim.T, labels)) / 2
        grads = dict(zip(trained, torch.autograd.grad(loss, [p[name] for name in trained], allow_unused=True)))
        grads = {name: torch.zeros_like(p[name]) if g is None else g for name, g in grads.items()}
        if step == 0:
            out |= {"train.similarity": sim.detach(), "train.loss": loss.detach()}
            out |= {"grad." + original(name): g for name, g in grads.items()}
            out |= {"after_forward." + original(name): t.clone() for name, t in p.items() if name.endswith(BN_STATS)}
            out |= {"act." + name: value.detach() for name, value in act.items()}
        losses.append(loss.detach())
        norms.append(optimizer.step(grads))
        all_grads.append(grads)
    out |= {"step.losses": torch.stack(losses), "train.grad_norms": torch.tensor(norms, dtype=dtype)}
    out |= {"step3." + original(name): p[name].detach() for name in p if name in trained or name.endswith(BN_STATS)}
    evaluate("eval_after", ("similarity",))
    return out, all_grads


# --- commands --------------------------------------------------------------------------------


def max_abs(a, b):
    return float((a.double() - b.double()).abs().max())


def verify(args):
    failed = False
    for path in args.cases:
        with open(path) as file:
            case = json.load(file)
        tensors = read_safetensors(os.path.join(os.path.dirname(path), case["file"]))
        state = {own(name[6:]): t for name, t in tensors.items() if name.startswith("state.") and ".rope." not in name}
        inputs = {name[6:]: t for name, t in tensors.items() if name.startswith("input.")}
        out, _ = run_case(state, inputs, case["config"], torch.float64)
        worst, null = {}, case.get("null_gradient_parameters", ())
        for name, want in tensors.items():
            kind, _, key = name.partition(".")
            if kind in ("state", "input", "step3_mask") or key in null or name.endswith("num_batches_tracked"):
                continue
            error = (out[name].double() - want.double()).abs() * tensors.get("step3_mask." + key, 1)
            limit = 1e-3 if kind in ("grad", "eval_after", "step3") else 1e-5
            error = float(error.max()) / (float(want.double().abs().max()) or 1.0)
            failed |= not error < limit
            worst[kind] = max(worst.get(kind, (0.0, "", 0.0)), (error, name, limit))
        print(path)
        for kind, (error, name, limit) in worst.items():
            print(f"  {kind:20} {error:.2e} {'ok  ' if error < limit else 'FAIL'} {name}")
    sys.exit(1 if failed else 0)


def weights_of(config, init):
    model, text, E = config["model"], config["text"], config["model"]["embed_dim"]
    if "vision_cfg" in model:
        eva_weights(init, model, 1)
        C, before = model["vision_cfg"]["width"], dict(init.state)
        init.text_tower(text, E)
        for name in [name for name in init.state if name not in before and name != "logit_scale"]:
            init.state["text." + name] = init.state.pop(name)
    else:
        init.image_tower(model)
        C, D, P = model["width"], model["side_dim"], (model["image_size"] // model["patch_size"])**2
        init.side_network(model, 1)
        for old in [name for name in init.state if ".side_transformer." in name]:
            new = old
            for a, b in (("conv.0", "pw_conv1"), ("conv.1", "dw_conv1"), ("conv.2", "pw_conv2"), ("bn_1", "norm1"), ("bn_2", "norm2")):
                new = new.replace(a, b)
            init.state[new] = init.state.pop(old)
        init.normal("visual.transformer.side_spatial_position_embeddings", (P + 1, D), 0.1)
        init.norm("visual.ln_post", C)
        init.normal("visual.proj", (C, E), C**-0.5)
        init.text_tower(text, E)
    for name in ("fc.weight", "fc.bias"):
        del init.state[name]
    init.norm("visual.side_post_bn", model["side_dim"], running=True)
    init.normal("visual.side_proj", (model["side_dim"], C), model["side_dim"]**-0.5)
    for name in OUTSIDE if config["interaction"] == "wti" else ():
        init.affine(name + "0", E, E)
        init.affine(name + "2", 1, E)
    init.state["logit_scale"] = torch.tensor(1.0)


def make(args):
    image, patch, T, E = args.image, args.patch, args.frames, args.embed_dim
    model = {"embed_dim": E, "frames": T, "side_dim": args.side_dim}
    if args.eva:
        model["vision_cfg"] = {"image_size": image, "patch_size": patch, "width": args.width, "layers": args.layers,
                               "head_width": args.width // args.heads, "mlp_ratio": 2.6667, "drop_path_rate": 0} | \
            {name: True for name in args.eva.split(",") if name != "plain"}
    else:
        model |= {"image_size": image, "patch_size": patch, "width": args.width, "heads": args.heads, "layers": args.layers}
    text = {"vocab": args.vocab, "context": args.context, "width": args.text_width, "heads": args.text_heads,
            "layers": args.text_layers, "words": args.words}
    options = {"lr": 1e-4, "coef_lr": 1e-3, "b1": 0.9, "b2": 0.98, "e": 1e-6, "weight_decay": 0.2, "max_grad_norm": 1.0}
    config = {"seed": args.seed, "batch": args.batch, "model": model, "text": text, "optimizer": options,
              "interaction": args.interaction, "cdcr": False, "sim_header": "meanP", "freeze_vit": True,
              "freeze_text": args.freeze_text, "max_words": args.words}
    init = Init(args.seed)
    weights_of(config, init)
    ids, mask = (torch.zeros((args.batch, 1, args.words), dtype=torch.int64) for _ in range(2))
    for row, kept in zip(ids[:, 0], mask[:, 0]):  # start token, words, end token, zeros
        length = int(torch.randint(1, args.words - 1, (1,), generator=init.generator))
        row[0], row[length + 1], kept[:length + 2] = args.vocab - 2, args.vocab - 1, 1
        row[1:length + 1] = torch.randint(1, args.vocab - 2, (length,), generator=init.generator)
    frames = torch.ones((args.batch, 1, T), dtype=torch.int64)
    frames[-1, 0, -1] = 0
    inputs = {"input_ids": ids, "input_mask": mask, "video_mask": frames,
              "video": torch.randn((args.batch, 1, T, 1, 3, image, image), generator=init.generator)}
    out, grads = run_case(init.state, inputs, config, torch.float32)
    exact, exact_grads = run_case(init.state, inputs, config, torch.float64)
    largest = max(float(g.abs().max()) for g in exact_grads[0].values())
    null = [name for name, g in exact_grads[0].items() if float(g.abs().max()) < 1e-10 * largest]
    for name in exact_grads[0]:  # compare only what rounding leaves determined
        known = torch.ones_like(exact["step3." + original(name)], dtype=torch.bool)
        for g32, g64 in zip(grads, exact_grads):
            known &= g64[name].abs() > max(100 * max_abs(g32[name], g64[name]), 1e-7)
        if not bool(known.all()):
            out["step3_mask." + original(name)] = known.to(torch.uint8)
    out = {name: t for name, t in out.items() if not name.startswith("act.") and not name.endswith("num_batches_tracked")}
    tensors = {"state." + original(name): t for name, t in init.state.items()} | {"input." + name: t for name, t in inputs.items()}
    os.makedirs(args.out, exist_ok=True)
    write_safetensors(os.path.join(args.out, args.name + ".safetensors"), tensors | out)
    description = {"system": "side4video-retrieval", "case": args.name, "file": args.name + ".safetensors", "config": config,
                   "null_gradient_parameters": [original(name) for name in null],
                   "trainable": [original(name) for name in exact_grads[0]],
                   "float32_against_float64": {"eval_after_logits_max_abs": max_abs(out["eval_after.similarity"], exact["eval_after.similarity"])}}
    with open(os.path.join(args.out, args.name + ".json"), "w") as file:
        json.dump(description, file, indent=1)
        file.write("\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="replay recorded cases")
    check.add_argument("cases", nargs="+")
    check.set_defaults(run=verify)
    case = commands.add_parser("make", help="make a case; defaults are tiny")
    for name, value in (("image", 8), ("patch", 4), ("width", 16), ("heads", 2), ("layers", 2), ("side-dim", 16), ("frames", 3),
                        ("embed-dim", 12), ("batch", 3), ("vocab", 24), ("context", 9), ("words", 7), ("text-width", 16),
                        ("text-heads", 2), ("text-layers", 1), ("seed", 1)):
        case.add_argument("--" + name, type=int, default=value)
    case.add_argument("--eva", help='options of an EVA tower, separated by commas (postnorm, subln, naiveswiglu), or "plain"')
    case.add_argument("--interaction", choices=("wti", "None"), default="wti")
    case.add_argument("--freeze-text", action="store_true")
    case.add_argument("--out", required=True, help="folder")
    case.add_argument("--name", default="case", help="file name without its ending")
    case.set_defaults(run=make)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments = parse_arguments()
    arguments.run(arguments)
