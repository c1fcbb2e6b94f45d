"""
Checks network.py against figures of the original modules on a toy whose weights and frames come from
formulas: no file is needed. Prints the largest error of each quantity.
"""
import re
import sys

import numpy as np
import torch

from network import is_trainable
from side4video_torch import run_case
from start_weights import Init

MODEL = {"image_size": 32, "patch_size": 8, "width": 128, "heads": 2, "layers": 2, "frames": 4, "side_dim": 128}
OPTIONS = {"lr": 1e-3, "weight_decay": 0.15, "betas": [0.9, 0.999], "sync_bn": False, "grad_accumulation_steps": 1,
           "smoothing": 0.1}
CHANNELS = [0, 1, 63, 64, 127]
EVAL_LOGITS = [[-2.560846, 0.385885, 2.638326, 1.621596, -0.072596], [-2.559495, 0.368438, 2.642126, 1.639679, -0.056193]]
TRAIN_LOGITS = [[-0.323144, 0.489332, 0.338327, -0.105315, -0.313716], [-0.260573, 0.528521, 0.290501, -0.167760, -0.351258]]
TRAIN_FEATURE = [-0.054379, -0.060362, -0.025991, 0.085232, 0.142958, 0.142673]
LN_PRE = [1.225682, 0.949532, 0.582288, 0.942136, -0.548955]
TAP = [0.725366, 0.828795, 0.223676, 1.086294, -0.939227]
PROJECTED = [-4.634913, 6.177214, 1.325753, 0.931125, 0.467738]
GRADIENTS = {  # L2 norm, first element; "." stands for visual.transformer.side_transformer.0.
    "visual.transformer.side_spatial_position_embeddings": (1.158320e-2, -7.973747e-4),
    "visual.side_conv1.weight": (1.090114e+1, 1.419281e-2),
    "visual.side_pre_bn3d.weight": (3.538043e-2, 8.251520e-3), "visual.side_pre_bn3d.bias": (1.009497e-2, -1.745415e-3),
    "visual.transformer.side_lns.0.weight": (1.843191e-2, 7.351726e-4),
    "visual.transformer.side_linears.0.weight": (3.959103e-1, 5.007831e-3),
    ".bn_1.weight": (3.086672e-3, 1.358836e-4), ".conv.0.weight": (5.791955e-2, -1.340769e-4),
    ".conv.0.bias": (2.027710e-3, -4.085642e-5), ".conv.1.weight": (6.923823e-2, -3.572739e-3),
    ".conv.2.weight": (8.756337e-2, -1.316341e-4), ".attn.in_proj_weight": (4.290800e-1, 2.997607e-4),
    ".attn.out_proj.weight": (3.508747e-1, 4.352781e-3), ".ln_1.weight": (8.583028e-3, 6.230954e-4),
    ".bn_2.weight": (3.881332e-2, -2.061243e-3), ".mlp.fc1.weight": (1.096932e+0, -4.556685e-3),
    ".mlp.fc2.weight": (7.985009e-1, -7.781856e-4), "visual.side_post_bn.weight": (3.188463e-2, -9.776012e-4),
    "fc.weight": (5.604774e-1, -9.183189e-3), "fc.bias": (4.500563e-1, 1.191412e-1),
}


def toy_state():
    """Every value is a sine of the tensor's place among the sorted names and of the element's own place."""
    init = Init(0)
    init.image_tower(MODEL)
    init.side_network(MODEL, 5)
    names = sorted(name for name, t in init.state.items() if t.is_floating_point())
    for k, name in enumerate(names):
        shape, last = init.state[name].shape, name.split(".")[-1]
        i = np.arange(init.state[name].numel(), dtype=np.float64)
        wave = np.sin(0.37 * i + 0.0005 * i**1.5 + 1.3 * k)
        if last == "running_var":
            value = 1 + 0.5 * wave
        elif last == "weight" and len(shape) == 1:
            value = 1 + 0.1 * wave
        else:
            value = (0.1 if last in ("running_mean", "bias", "in_proj_bias") else 0.08) * wave
        init.state[name] = torch.from_numpy(value.reshape(shape)).float()
    return init.state


def main():
    state = toy_state()
    i = np.arange(8 * 3 * 32 * 32, dtype=np.float64)
    frames = torch.from_numpy(np.sin(0.013 * i + 0.5 * np.sin(0.0007 * i)).reshape(8, 3, 32, 32)).float()
    out, grads = run_case(state, frames, torch.tensor([3, 1]), {"model": MODEL, "optimizer": OPTIONS}, 0, activations=True)
    wanted = {"eval logits": (out["eval.logits"], EVAL_LOGITS), "train logits": (out["train.logits"], TRAIN_LOGITS),
              "train feature": (out["act.video_embedding"][0, :6], TRAIN_FEATURE), "loss": (out["train.loss"], 1.489312),
              "after ln_pre": (out["act.ln_pre"][0, 0, CHANNELS], LN_PRE),
              "first tap": (out["act.backbone.0"][0, 1, CHANNELS], TAP),
              "projected class token": (out["act.bridge.0"][0, 1, CHANNELS], PROJECTED)}
    failed = False
    for name, (have, want) in wanted.items():
        error = float((have - torch.tensor(want)).abs().max())
        failed |= not error < 1e-5
        print(f"{name:24} max abs error {error:.1e}")
    worst = 0.0
    for name, (norm, first) in GRADIENTS.items():
        grad = grads[0][re.sub(r"^\.", "visual.transformer.side_transformer.0.", name)]
        worst = max(worst, abs(float(grad.norm()) / norm - 1), abs(float(grad.flatten()[0]) - first) / float(grad.abs().max()))
    total = float(torch.stack([g.norm() for g in grads[0].values()]).norm())
    scalars = sum(t.numel() for name, t in state.items() if not name.endswith(("running_mean", "running_var", "tracked")))
    print(f"gradients                max relative error {worst:.1e}; total norm {total:.5f} (11.15012)")
    print(f"parameters               {scalars} (998405), trainable tensors {sum(map(is_trainable, state))}")
    sys.exit(1 if failed or not worst < 1e-3 or scalars != 998405 else 0)


if __name__ == "__main__":
    main()
