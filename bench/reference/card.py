"""
Times PyTorch for `sidenet bench card`: a product, the image tower's forward pass, and a training step of Side4Video on a CLIP
backbone, in float32 (no TF32) and with autocast. Prints one JSON object a line: the device, then a measurement each.

    python3 card.py device
    python3 card.py matmul --size 4096
    python3 card.py vit --images 64
    python3 card.py step --clips 32 --frames 8
    python3 card.py step --clips 1 --frames 2 --image 32 --patch 8 --width 64 --heads 1 --layers 2 --side-dim 64 --classes 5

The mathematics is network.py's; what costs time or memory is done as the original modules do it or faster: attention by
PyTorch's fused kernel where it has one, queries, keys and values by one product, the temporal convolution as the original's
Conv3d and as sums of shifted frames, of which the faster counts.

What is held for the backward pass: nothing within the backbone, whose tensors need no gradient, so that autograd records
nothing there (as under no_grad); of its outputs those that side layers read, because the gradients of their layer norms need
them. Of the side network everything autograd saves, as in the original, which recomputes nothing.
"""
import argparse
import contextlib
import gc
import json
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

import network
from network import image_tower, is_trainable, linear, side_forward, smoothed_cross_entropy
from start_weights import Init

WARM_UP, REPEATS = 3, 9
REPEAT_S, ENOUGH_S = 0.5, 30.0  # a repeat lasts so long at least, several runs where one is shorter; no repeat begins after
SHIFTS = network.temporal_conv


def attention(p, name, query, memory, heads, mask=None):
    """As network.attention, by the fused kernel where PyTorch has one (2.0 and later)."""
    if mask is not None or not hasattr(F, "scaled_dot_product_attention"):
        return EXPLICIT_ATTENTION(p, name, query, memory, heads, mask)
    weight, bias, width = p[name + ".in_proj_weight"], p[name + ".in_proj_bias"], query.shape[-1]
    if query is memory:
        q, k, v = F.linear(query, weight, bias).chunk(3, -1)
    else:
        q = F.linear(query, weight[:width], bias[:width])
        k, v = F.linear(memory, weight[width:], bias[width:]).chunk(2, -1)
    q, k, v = (x.unflatten(-1, (heads, width // heads)).transpose(1, 2) for x in (q, k, v))
    return linear(p, name + ".out_proj", F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


EXPLICIT_ATTENTION = network.attention
network.attention = attention


def conv3d(p, name, x, frames):
    """As network.temporal_conv, the convolution over frames by conv3d, as in the original."""
    maps = linear(p, name + ".0", x).unflatten(0, (-1, frames)).permute(0, 3, 1, 2)[..., None]  # [B D T P 1]
    weight = p[name + ".1.weight"]
    maps = F.conv3d(maps, weight, p[name + ".1.bias"], padding=(1, 0, 0), groups=len(weight))
    return linear(p, name + ".2", maps[..., 0].permute(0, 2, 3, 1).flatten(0, 1))


class Kept(dict):
    """Intermediate values: only the one that is read again, so that no other is held longer than autograd holds it."""

    def __setitem__(self, name, value):
        if name == "video_embedding":
            super().__setitem__(name, value)


# --- time and memory ---------------------------------------------------------------------------


def synchronise(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(run, device):
    """Median milliseconds of one run, and the most bytes that PyTorch's tensors held (null on the CPU, which does not count)."""
    began = time.perf_counter()

    def seconds(runs):
        started = time.perf_counter()
        for _ in range(runs):
            run()
        synchronise(device)
        return time.perf_counter() - started

    for _ in range(WARM_UP):
        once = seconds(1)
        if time.perf_counter() - began > ENOUGH_S:
            break
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    runs = max(1, min(256, round(REPEAT_S / once)))
    times = []
    while len(times) < REPEATS and (not times or time.perf_counter() - began < ENOUGH_S):
        times.append(seconds(runs) / runs)
    held = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"ms": 1000 * statistics.median(times), "repeats": len(times), "bytes": held}


def precisions(device):
    """What is timed: name, how products are computed, whether losses are scaled. On the CPU autocast knows only bf16."""
    half, name = (torch.float16, "amp") if device.type == "cuda" else (torch.bfloat16, "amp bf16")
    return [("f32 eager", contextlib.nullcontext, False),
            (name, lambda: torch.autocast(device.type, dtype=half), device.type == "cuda")]


def show(**row):
    print(json.dumps(row), flush=True)


def attempt(what, variant, make, device):
    """Shows a measurement, or why there is none: too little memory, say. A card may be lent for minutes: the others follow."""
    try:
        row = make()
    except Exception as error:
        row = {"error": reason(error)}
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
    show(what=what, variant=variant, **row)


def reason(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- what is measured --------------------------------------------------------------------------


def tell_device(device):
    row = {"torch": torch.__version__, "threads": torch.get_num_threads(), "driver": None}
    if device.type == "cuda":
        row.update(name=torch.cuda.get_device_name(device), cuda=torch.version.cuda)
        try:
            listed = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                                    capture_output=True, text=True, check=True).stdout.split()
            row["driver"] = listed[0] if listed else None
        except (OSError, subprocess.CalledProcessError):
            pass  # the driver's number is told where its own tool is
    else:
        row.update(name="CPU", cuda=None)
    show(what="device", **row)


def time_matmul(options, device):
    shape = (options.size, options.size)
    a, b = torch.randn(shape, device=device), torch.randn(shape, device=device)
    attempt("matmul", "f32 eager", lambda: measure(lambda: torch.mm(a, b), device), device)


def model_of(options):
    return {"image_size": options.image, "patch_size": options.patch, "width": options.width, "heads": options.heads,
            "layers": options.layers, "frames": options.frames, "side_dim": options.side_dim}


def time_vit(options, device):
    init, model = Init(1), model_of(options)
    init.image_tower(model)
    p = {name: t.to(device) for name, t in init.state.items()}
    images = torch.randn((options.images, 3, options.image, options.image), device=device)
    for variant, cast, _ in precisions(device):

        def run():
            with torch.no_grad(), cast():
                for x in image_tower(p, images, model, Kept()):
                    pass
                return x

        attempt("vit", variant, lambda: measure(run, device), device)


def step_of(options, device, cast, scales):
    """A training step as a function, its weights, and its last loss."""
    init, model = Init(1), model_of(options)
    init.image_tower(model)
    init.side_network(model, options.classes)
    p = {name: t.to(device).requires_grad_(is_trainable(name)) for name, t in init.state.items()
         if not name.startswith(("visual.ln_post", "visual.proj"))}
    trained = [name for name in p if is_trainable(name)]
    optimiser = torch.optim.AdamW([p[name] for name in trained], lr=1e-3, betas=(0.9, 0.999), weight_decay=0.15)
    scaler = torch.cuda.amp.GradScaler(enabled=scales)
    # Frames come from the host in every step, as ours do.
    frames = torch.randn((options.clips * options.frames, 3, options.image, options.image))
    frames = frames.pin_memory() if device.type == "cuda" else frames
    labels = (torch.arange(options.clips) % options.classes).to(device)
    last = {}

    def step():
        optimiser.zero_grad(set_to_none=True)
        with cast():
            logits = side_forward(p, frames.to(device, non_blocking=True), model, True, Kept())
            loss = smoothed_cross_entropy(logits.float(), labels, 0.1).mean()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        last["loss"] = loss.detach()

    return step, p, trained, last


def checked_step(options, device, cast, scales):
    """A step's time. Gradients must have reached every trained tensor and no other, and the loss must be finite."""
    step, p, trained, last = step_of(options, device, cast, scales)
    row = measure(step, device)
    reached = sorted(name for name, t in p.items() if t.grad is not None)
    if reached != sorted(trained):
        raise RuntimeError(f"gradients must reach all trained tensors alone, not so with {sorted(set(reached) ^ set(trained))}")
    if not torch.isfinite(last["loss"]):
        raise RuntimeError(f"the loss must be finite, current value is {float(last['loss'])}")
    return {**row, "loss": float(last["loss"]), "tensors": reached, "trained": sum(p[name].numel() for name in reached)}


def time_step(options, device):
    for variant, cast, scales in precisions(device):

        def best():
            rows, failed = [], []
            for name, form in (("conv3d", conv3d), ("shifts", SHIFTS)):
                network.temporal_conv = form
                try:
                    rows.append({**checked_step(options, device, cast, scales), "temporal": name})
                except Exception as error:
                    failed.append(f"{name}: {reason(error)}")
                gc.collect()  # so that nothing of this form counts for the next
            if not rows:
                raise RuntimeError("; ".join(failed))
            return min(rows, key=lambda row: row["ms"])

        attempt("step", variant, best, device)


def device_of(options):
    """The CUDA device of the given name, the first one, or the CPU."""
    kind = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cpu":
        return torch.device("cpu")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if not names:
        raise SystemExit("PyTorch finds no CUDA device; its build must have CUDA, and the driver must run")
    wanted = [i for i, name in enumerate(names) if options.name and name.lower() in options.name.lower()]
    return torch.device("cuda", wanted[0] if wanted else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("what", choices=("device", "matmul", "vit", "step"))
    parser.add_argument("--device", choices=("cuda", "cpu"), help="CUDA where there is a device")
    parser.add_argument("--name", help="the adapter whose CUDA device is taken, where there are several")
    for name, value in (("size", 4096), ("images", 64), ("clips", 32), ("frames", 8), ("image", 224), ("patch", 16),
                        ("width", 768), ("heads", 12), ("layers", 12), ("side-dim", 320), ("classes", 174)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    device = device_of(options)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if options.what == "device":
        tell_device(device)
    else:
        {"matmul": time_matmul, "vit": time_vit, "step": time_step}[options.what](options, device)


if __name__ == "__main__":
    main()
