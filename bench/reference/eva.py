"""
EVA-CLIP image towers and the Side4Video side network of the EVA path as plain functions of a dictionary of tensors
`p` under the published state-dict keys, and seeded start weights for them. The options are those of the published
model configurations (`vision_cfg`): postnorm, subln, naiveswiglu, rope. Legend as in network.py.
"""
import torch
import torch.nn.functional as F

from network import batch_norm, linear, shift_class_token, stem, temporal_conv

# --- the tower -------------------------------------------------------------------------------


def norm(p, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], eps)


def tower_norm(p, name, x):
    return norm(p, name, x, 1e-6)


def heads_of(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # [R h N c]


def softmax_attention(q, k, v):
    """q, k, v: [R h N c]; returns [R Nq h*c]."""
    scores = torch.einsum("rhqc,rhkc->rhqk", q, k) / q.shape[-1]**0.5
    return torch.einsum("rhqk,rhkc->rqhc", scores.softmax(-1), v).flatten(2)


def rotate(x, grid, span):
    """Turns neighbouring channels of the patches, as complex numbers. x: [R h N c], the class token first."""
    count = x.shape[-1] // 4
    frequency = 10000.0**(-torch.arange(count, dtype=torch.float64) / count)
    angle = torch.arange(grid, dtype=torch.float64)[:, None] / grid * span * frequency  # [g c/4]
    rows, columns = angle[:, None].expand(grid, grid, count), angle[None].expand(grid, grid, count)
    angle = torch.cat([rows, columns], -1).flatten(0, 1)  # [P c/2]
    turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex128 if x.dtype == torch.float64 else torch.complex64)
    patches = torch.view_as_complex(x[:, :, 1:].unflatten(-1, (-1, 2)).contiguous()) * turn
    return torch.cat([x[:, :, :1], torch.view_as_real(patches).flatten(-2)], 2)


def tower_attention(p, name, x, cfg):
    heads = cfg["width"] // cfg["head_width"]
    if cfg.get("subln"):
        q, k, v = (F.linear(x, p[f"{name}.{part}_proj.weight"]) for part in "qkv")
    else:
        q, k, v = F.linear(x, p[name + ".qkv.weight"]).chunk(3, -1)
    q, k, v = (heads_of(part, heads) for part in (q + p[name + ".q_bias"], k, v + p[name + ".v_bias"]))
    if cfg.get("rope"):
        grid, span = cfg["image_size"] // cfg["patch_size"], cfg.get("pt_hw_seq_len", 16)
        q, k = rotate(q, grid, span), rotate(k, grid, span)
    out = softmax_attention(q, k, v)
    return linear(p, name + ".proj", tower_norm(p, name + ".inner_attn_ln", out) if cfg.get("subln") else out)


def tower_mlp(p, name, x, cfg):
    if cfg.get("naiveswiglu"):
        hidden, last = F.silu(linear(p, name + ".w1", x)) * linear(p, name + ".w2", x), ".w3"
    else:
        hidden, last = F.gelu(linear(p, name + ".fc1", x)), ".fc2"
    return linear(p, name + last, tower_norm(p, name + ".ffn_ln", hidden) if cfg.get("subln") else hidden)


def eva_tower(p, images, cfg):
    """Yields the output [R N C] of every block."""
    x = F.conv2d(images, p["visual.patch_embed.proj.weight"], p["visual.patch_embed.proj.bias"], stride=cfg["patch_size"])
    x = torch.cat([p["visual.cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + p["visual.pos_embed"]
    for i in range(cfg["layers"]):
        name = f"visual.blocks.{i}"
        for part, body in (("1", lambda h: tower_attention(p, name + ".attn", h, cfg)),
                           ("2", lambda h: tower_mlp(p, name + ".mlp", h, cfg))):
            at = f"{name}.norm{part}"
            x = x + (tower_norm(p, at, body(x)) if cfg.get("postnorm") else body(tower_norm(p, at, x)))
        yield x


# --- the side network ------------------------------------------------------------------------


def eva_side_block(p, name, s, cls, train):
    """s: [B*T P D], cls: [B T D], already shifted. The norms are on what is added."""
    s = s + batch_norm(p, name + ".bn_1", temporal_conv(p, name + ".conv", s, cls.shape[1]), train)
    patches, heads = s + p["visual.side_spatial_position_embeddings"], max(1, s.shape[-1] // 64)
    tokens = torch.cat([cls.flatten(0, 1)[:, None], patches], 1)
    q, k, v = (heads_of(linear(p, f"{name}.attn.{part}_proj", x), heads)
               for part, x in (("q", patches), ("k", tokens), ("v", tokens)))
    s = s + norm(p, name + ".ln_1", linear(p, name + ".attn.proj", softmax_attention(q, k, v)), 1e-5)
    return s + batch_norm(p, name + ".bn_2", linear(p, name + ".mlp.2", F.gelu(linear(p, name + ".mlp.0", s))), train)


def eva_side_forward(p, frames, model, train, act):
    """frames: [B*T 3 H W]; returns logits [B K] and fills act with the intermediate values."""
    T, cfg = model["frames"], model["vision_cfg"]
    x = act["side_conv1"] = stem(p, "visual.side_conv1", frames, cfg | {"frames": T}, 0)  # [B D T h w]
    s = batch_norm(p, "visual.side_pre_bn3d", x.permute(0, 2, 3, 4, 1), train)  # [B T h w D]
    act["side_pre_bn3d"] = s.permute(0, 4, 1, 2, 3)
    s = s.flatten(0, 1).flatten(1, 2)  # [B*T P D]
    for i, tap in enumerate(eva_tower(p, frames, cfg)):
        act[f"backbone.{i}"] = tap
        if i % 2 == 0:
            continue
        k = i // 2
        tap = act[f"bridge.{k}"] = norm(p, f"visual.side_lns.{k}", linear(p, f"visual.side_linears.{k}", tap), 1e-5)
        cls = shift_class_token(tap[:, 0].unflatten(0, (-1, T)))  # [B T D]
        s = act[f"side.{k}"] = eva_side_block(p, f"visual.side_blocks.{k}", 0.5 * s + 0.5 * tap[:, 1:], cls, train)
    act["video_embedding"] = s.unflatten(0, (-1, T)).mean((1, 2))  # [B D]
    return linear(p, "fc", act["video_embedding"])


# --- start weights ---------------------------------------------------------------------------


def eva_weights(init, model, classes):
    cfg, D = model["vision_cfg"], model["side_dim"]
    C, patch, P = cfg["width"], cfg["patch_size"], (cfg["image_size"] // cfg["patch_size"])**2
    hidden = int(C * cfg["mlp_ratio"])
    init.normal("visual.cls_token", (1, 1, C), 0.3)
    init.normal("visual.pos_embed", (1, P + 1, C), 0.3)
    init.affine("visual.patch_embed.proj", C, 3 * patch * patch)
    init.state["visual.patch_embed.proj.weight"] = init.state["visual.patch_embed.proj.weight"].reshape(C, 3, patch, patch)
    for i in range(cfg["layers"]):
        name = f"visual.blocks.{i}"
        init.norm(name + ".norm1", C)
        init.norm(name + ".norm2", C)
        for part in "qv":
            init.normal(f"{name}.attn.{part}_bias", (C,), 0.1)
        if cfg.get("subln"):
            for part in "qkv":
                init.normal(f"{name}.attn.{part}_proj.weight", (C, C), 1.5 * C**-0.5)
            init.norm(name + ".attn.inner_attn_ln", C)
            init.norm(name + ".mlp.ffn_ln", hidden)
        else:
            init.normal(name + ".attn.qkv.weight", (3 * C, C), 1.5 * C**-0.5)
        init.affine(name + ".attn.proj", C, C, C**-0.5)
        first, last = (("w1", "w2"), "w3") if cfg.get("naiveswiglu") else (("fc1",), "fc2")
        for part in first:
            init.affine(f"{name}.mlp.{part}", hidden, C, C**-0.5)
        init.affine(f"{name}.mlp.{last}", C, hidden, hidden**-0.5)
    init.norm("visual.norm", C)
    init.affine("visual.head", model["embed_dim"], C)
    init.affine("visual.side_conv1", D, 9 * patch * patch)
    init.state["visual.side_conv1.weight"] = init.state["visual.side_conv1.weight"].reshape(D, 3, 3, patch, patch)
    init.norm("visual.side_pre_bn3d", D, running=True)
    init.normal("visual.side_spatial_position_embeddings", (P, D), 0.1)
    for k in range(cfg["layers"] // 2):
        name = f"visual.side_blocks.{k}"
        init.affine(f"visual.side_linears.{k}", D, C)
        init.norm(f"visual.side_lns.{k}", D)
        init.norm(name + ".bn_1", D, running=True)
        init.norm(name + ".bn_2", D, running=True)
        init.norm(name + ".ln_1", D)
        for part in "02":
            init.affine(f"{name}.conv.{part}", D, D, tail=(1, 1, 1))
        init.uniform(name + ".conv.1.weight", (D, 1, 3, 1, 1), 3**-0.5)
        init.uniform(name + ".conv.1.bias", (D,), 3**-0.5)
        for part in ("q_proj", "k_proj", "v_proj", "proj"):
            init.affine(f"{name}.attn.{part}", D, D)
        init.affine(name + ".mlp.0", 4 * D, D)
        init.affine(name + ".mlp.2", D, 4 * D)
    init.affine("fc", classes, D)
