"""
The CLIP towers and the side networks Side4Video (recognition, CLIP backbone) and TDS-CLIP as plain functions of a
dictionary of tensors `p`, which holds them under the published state-dict keys.

Legend: B clips, T frames, P patches per frame, N tokens per frame (P + 1), C tower width,
D side width, K classes, R rows (leading axes folded together), h heads or rows of the patch grid.
"""
import math

import torch
import torch.nn.functional as F

BN_STATS = ("running_mean", "running_var", "num_batches_tracked")

# --- the CLIP towers -------------------------------------------------------------------------


def layer_norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-5)


def linear(p, name, x):
    """A linear layer, or a point-wise convolution over the last axis."""
    weight = p[name + ".weight"]
    return F.linear(x, weight.reshape(weight.shape[:2]), p[name + ".bias"])


def attention(p, name, query, memory, heads, mask=None):
    """Multi-head attention of query [R Nq C] over memory [R Nk C]."""
    width = query.shape[-1]
    weights = p[name + ".in_proj_weight"].split(width)
    biases = p[name + ".in_proj_bias"].split(width)
    q, k, v = (F.linear(x, weight, bias).unflatten(-1, (heads, width // heads)).transpose(1, 2)
               for x, weight, bias in zip((query, memory, memory), weights, biases))  # [R h N C/h]
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
    if mask is not None:
        scores = scores + mask
    return linear(p, name + ".out_proj", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def clip_block(p, name, x, heads, mask=None):
    h = layer_norm(p, name + ".ln_1", x)
    x = x + attention(p, name + ".attn", h, h, heads, mask)
    h = linear(p, name + ".mlp.c_fc", layer_norm(p, name + ".ln_2", x))
    return x + linear(p, name + ".mlp.c_proj", h * torch.sigmoid(1.702 * h))  # QuickGELU


def image_tokens(p, images, model):
    """What the first block of the image tower reads: [R N C]."""
    x = F.conv2d(images, p["visual.conv1.weight"], stride=model["patch_size"]).flatten(2).transpose(1, 2)  # [R P C]
    cls = p["visual.class_embedding"].expand(len(x), 1, -1)
    return layer_norm(p, "visual.ln_pre", torch.cat([cls, x], 1) + p["visual.positional_embedding"])


def image_tower(p, images, model, act):
    """Yields the output [R N C] of every block; nothing is kept."""
    x = act["ln_pre"] = image_tokens(p, images, model)
    for i in range(model["layers"]):
        x = clip_block(p, f"visual.transformer.resblocks.{i}", x, model["heads"])
        yield x


def clip_forward(p, images, texts, config):
    """Both towers and their similarities; returns the named results of a clip-vit case."""
    out, act = {}, {}
    for i, x in enumerate(image_tower(p, images, config["model"], act)):
        out[f"act.visual.layer.{i}"] = x.transpose(0, 1)
    out["act.visual.ln_pre"] = act["ln_pre"]
    out["act.visual.ln_post"] = layer_norm(p, "visual.ln_post", x[:, 0])
    image = out["image_embedding"] = out["act.visual.ln_post"] @ p["visual.proj"]

    x = p["token_embedding.weight"][texts] + p["positional_embedding"]
    mask = torch.full((x.shape[1], x.shape[1]), -math.inf, dtype=x.dtype).triu(1)
    for i in range(config["text"]["layers"]):
        x = clip_block(p, f"transformer.resblocks.{i}", x, config["text"]["heads"], mask)
        out[f"act.text.layer.{i}"] = x.transpose(0, 1)
    x = out["act.text.ln_final"] = layer_norm(p, "ln_final", x)
    end = texts.argmax(-1)  # the end token has the largest id
    text = out["text_embedding"] = x[torch.arange(len(x)), end] @ p["text_projection"]
    out["logits_per_image"] = p["logit_scale"].exp() * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    out["logits_per_text"] = out["logits_per_image"].T
    return out


# --- the side network ------------------------------------------------------------------------


def batch_norm(p, name, x, train):
    """Batch norm over all but the last axis; in train mode the running statistics move in place."""
    rows = x.reshape(-1, x.shape[-1])
    if train:
        p[name + ".num_batches_tracked"] += 1
    return F.batch_norm(rows, p[name + ".running_mean"], p[name + ".running_var"], p[name + ".weight"],
                        p[name + ".bias"], train, 0.1, 1e-5).reshape(x.shape)


def shift_class_token(c):
    """c: [B T D]. The first half of the channels comes from the next frame, the rest from the one before."""
    half, zero = c.shape[-1] // 2, torch.zeros_like(c[:, :1])
    ahead, behind = torch.cat([c[:, 1:], zero], 1), torch.cat([zero, c[:, :-1]], 1)
    return torch.cat([ahead[..., :half], behind[..., half:]], -1)


def temporal_conv(p, name, x, frames):
    """x: [B*T P D]. Point-wise, depth-wise over three frames, point-wise; no activation between."""
    u = linear(p, name + ".0", x).unflatten(0, (-1, frames))  # [B T P D]
    w, zero = p[name + ".1.weight"][:, 0, :, 0, 0], torch.zeros_like(u[:, :1])
    u = torch.cat([zero, u[:, :-1]], 1) * w[:, 0] + u * w[:, 1] + torch.cat([u[:, 1:], zero], 1) * w[:, 2]
    return linear(p, name + ".2", (u + p[name + ".1.bias"]).flatten(0, 1))


def motion_gate(p, name, v, frames, train):
    """v: [B*T P D], scaled by 1/2 + sigmoid of how far each reduced value lies below its maximum over three frames."""
    e = batch_norm(p, name + ".bn1", F.linear(v, p[name + ".conv1.weight"].flatten(1)), train).unflatten(0, (-1, frames))
    maps = e.permute(0, 3, 1, 2)  # [B r T P]
    m = F.max_pool2d(maps, (3, 1), stride=1, padding=(1, 0)).permute(0, 2, 3, 1)  # the earliest maximum gets the gradient
    dif = (e - m).flatten(0, 1)
    y = 0.5 * dif + 0.5 * dif.mean(-1, keepdim=True)
    g = torch.sigmoid(batch_norm(p, name + ".bn2", F.linear(y, p[name + ".conv2.weight"].flatten(1)), train)) - 0.5
    return v * (1 + g)


def side_block(p, name, s, cls, train):
    """s: [B*T P D], cls: [B T D], already shifted. Returns the new state and, in TDS-CLIP, the gate's output."""
    v = temporal_conv(p, name + ".conv", batch_norm(p, name + ".bn_1", s, train), cls.shape[1])
    gated = name + ".mse.conv1.weight" in p
    if gated:
        v = motion_gate(p, name + ".mse", v, cls.shape[1], train)
    s = s + v
    patches = s + p["visual.transformer.side_spatial_position_embeddings"]
    tokens = layer_norm(p, name + ".ln_1", torch.cat([cls.flatten(0, 1)[:, None], patches], 1))
    s = s + attention(p, name + ".attn", tokens[:, 1:], tokens, max(1, s.shape[-1] // 64))
    h = F.gelu(linear(p, name + ".mlp.fc1", batch_norm(p, name + ".bn_2", s, train)))
    return s + linear(p, name + ".mlp.fc2", h), v if gated else None


def stem(p, name, pictures, model, padding):
    """A 3-D patch convolution of pictures [B*T c H W]: [B D T h w]."""
    clip = pictures.unflatten(0, (-1, model["frames"])).transpose(1, 2)  # [B c T H W]
    patch = model["patch_size"]
    return F.conv3d(clip, p[name + ".weight"], p[name + ".bias"], stride=(1, patch, patch),
                    padding=(1, padding, padding))


def side_forward(p, frames, model, train, act):
    """
    frames: [B*T 3 H W], or [B*T*5 3 H W] for TDS-CLIP (five neighbours of each sampled frame in order); returns logits
    [B K] and fills act with the intermediate values.
    """
    T, differences = model["frames"], "num_diff" in model
    if differences:
        window = frames.unflatten(0, (-1, 5))  # [B*T 5 3 H W]
        frames = window[:, 2]
    x = act["side_conv1"] = stem(p, "visual.side_conv1", frames, model, 1 if differences else 0)
    grid = x.shape[2:]
    to_maps = lambda s: s.unflatten(0, (-1, T)).unflatten(2, grid[1:]).permute(0, 4, 1, 2, 3)
    to_tokens = lambda x: x.permute(0, 2, 3, 4, 1).flatten(0, 1).flatten(1, 2)  # [B*T P D]
    s = batch_norm(p, "visual.side_pre_bn3d", to_tokens(x), train)
    act["side_pre_bn3d"] = to_maps(s)
    if differences:
        moved = (window[:, 1:] - window[:, :-1]).flatten(1, 2)  # [B*T 12 H W]
        d = batch_norm(p, "visual.side_pre_bn3d_c5", to_tokens(stem(p, "visual.side_conv1_c5", moved, model, 1)), train)
        act["side_pre_bn3d_c5"] = to_maps(d)
        s = s + model.get("sme_scale", 0.5) * d
    for i, tap in enumerate(image_tower(p, frames, model, act)):
        act[f"backbone.{i}"] = tap.transpose(0, 1)
        tap = linear(p, f"visual.transformer.side_linears.{i}", layer_norm(p, f"visual.transformer.side_lns.{i}", tap))
        act[f"bridge.{i}"] = tap.transpose(0, 1)
        cls = shift_class_token(tap[:, 0].unflatten(0, (-1, T)))  # [B T D]
        s, gate = side_block(p, f"visual.transformer.side_transformer.{i}", 0.5 * s + 0.5 * tap[:, 1:], cls, train)
        if gate is not None:
            act[f"side.{i}.motion_gate"] = to_maps(gate)
        act[f"side.{i}"] = s.transpose(0, 1)
    s = batch_norm(p, "visual.side_post_bn", s, train)
    act["side_post_bn"] = to_maps(s)
    act["video_embedding"] = s.unflatten(0, (-1, T)).mean((1, 2))  # [B D]
    return linear(p, "fc", act["video_embedding"])


def smoothed_cross_entropy(logits, labels, smoothing):
    """Per clip: the smoothing is spread over all classes, the right one included."""
    logp = logits.log_softmax(-1)
    return -(1 - smoothing) * logp.gather(1, labels[:, None])[:, 0] - smoothing * logp.mean(-1)


def is_trainable(name):
    return ("side" in name or name.startswith("fc.")) and not name.endswith(BN_STATS)
