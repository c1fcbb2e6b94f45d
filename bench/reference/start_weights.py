"""Seeded start weights of the true shapes and scales, under the published state-dict keys."""
import math

import torch

PRESETS = {  # image, patch, width, heads, layers, side_dim, embed_dim
    "ViT-B/32": (224, 32, 768, 12, 12, 320, 512),
    "ViT-B/16": (224, 16, 768, 12, 12, 320, 512),
    "ViT-L/14": (224, 14, 1024, 16, 24, 512, 768),
}


class Init:
    """Draws start weights one after the other from a seeded generator."""

    def __init__(self, seed):
        self.generator, self.state = torch.Generator().manual_seed(seed), {}

    def normal(self, name, shape, std, mean=0.0):
        self.state[name] = torch.randn(shape, generator=self.generator) * std + mean

    def uniform(self, name, shape, bound):
        self.state[name] = (torch.rand(shape, generator=self.generator) * 2 - 1) * bound

    def norm(self, name, width, running=False):
        """Off the usual 1 and 0, which would hide errors."""
        self.normal(name + ".weight", (width,), 0.1, 1.0)
        self.normal(name + ".bias", (width,), 0.1)
        if running:
            self.normal(name + ".running_mean", (width,), 0.1)
            self.state[name + ".running_var"] = 0.5 + torch.rand((width,), generator=self.generator)
            self.state[name + ".num_batches_tracked"] = torch.tensor(0)

    def affine(self, name, rows, columns, weight_std=None, tail=()):
        """A linear layer: PyTorch's own uniform range, or a normal weight of the given deviation."""
        bound = 1 / math.sqrt(columns)
        if weight_std is None:
            self.uniform(name + ".weight", (rows, columns, *tail), bound)
        else:
            self.normal(name + ".weight", (rows, columns, *tail), weight_std)
        self.uniform(name + ".bias", (rows,), bound)

    def attention(self, name, width, out_std):
        self.normal(name + ".in_proj_weight", (3 * width, width), width**-0.5)
        self.normal(name + ".in_proj_bias", (3 * width,), 0.1)
        self.affine(name + ".out_proj", width, width, out_std)

    def clip_blocks(self, prefix, width, layers):
        out_std = width**-0.5 * (2 * layers)**-0.5
        for i in range(layers):
            name = f"{prefix}transformer.resblocks.{i}"
            self.attention(name + ".attn", width, out_std)
            self.norm(name + ".ln_1", width)
            self.affine(name + ".mlp.c_fc", 4 * width, width, (2 * width)**-0.5)
            self.affine(name + ".mlp.c_proj", width, 4 * width, out_std)
            self.norm(name + ".ln_2", width)

    def image_tower(self, model):
        C, patch, P = model["width"], model["patch_size"], (model["image_size"] // model["patch_size"])**2
        self.normal("visual.class_embedding", (C,), C**-0.5)
        self.normal("visual.positional_embedding", (P + 1, C), C**-0.5)
        self.uniform("visual.conv1.weight", (C, 3, patch, patch), (3 * patch * patch)**-0.5)
        self.norm("visual.ln_pre", C)
        self.clip_blocks("visual.", C, model["layers"])

    def side_network(self, model, classes):
        C, D, patch, P = model["width"], model["side_dim"], model["patch_size"], (model["image_size"] // model["patch_size"])**2
        self.uniform("visual.side_conv1.weight", (D, 3, 3, patch, patch), 1 / (3 * patch))
        self.uniform("visual.side_conv1.bias", (D,), 1 / (3 * patch))
        self.norm("visual.side_pre_bn3d", D, running=True)
        self.norm("visual.side_post_bn", D, running=True)
        if "num_diff" in model:
            self.uniform("visual.side_conv1_c5.weight", (D, 12, 3, patch, patch), 1 / (6 * patch))
            self.uniform("visual.side_conv1_c5.bias", (D,), 1 / (6 * patch))
            self.norm("visual.side_pre_bn3d_c5", D, running=True)
        self.normal("visual.transformer.side_spatial_position_embeddings", (P, D), 0.01)
        for i in range(model["layers"]):
            name = f"visual.transformer.side_transformer.{i}"
            self.norm(f"visual.transformer.side_lns.{i}", C)
            self.affine(f"visual.transformer.side_linears.{i}", D, C)
            self.norm(name + ".bn_1", D, running=True)
            self.affine(name + ".conv.0", D, D, tail=(1, 1, 1))
            self.uniform(name + ".conv.1.weight", (D, 1, 3, 1, 1), 3**-0.5)
            self.uniform(name + ".conv.1.bias", (D,), 3**-0.5)
            self.affine(name + ".conv.2", D, D, tail=(1, 1, 1))
            self.norm(name + ".bn_2", D, running=True)
            self.affine(name + ".mlp.fc1", 4 * D, D, (2 * D)**-0.5)
            self.affine(name + ".mlp.fc2", D, 4 * D, (24 * D)**-0.5)
            self.attention(name + ".attn", D, (24 * D)**-0.5)
            self.norm(name + ".ln_1", D)
            if "num_diff" in model:
                r = D // 16
                self.uniform(name + ".mse.conv1.weight", (r, D, 1, 1), D**-0.5)
                self.norm(name + ".mse.bn1", r, running=True)
                self.uniform(name + ".mse.conv2.weight", (D, r, 1, 1), r**-0.5)
                self.norm(name + ".mse.bn2", D, running=True)
        self.affine("fc", classes, D)

    def text_tower(self, text, embed_dim):
        width = text["width"]
        self.normal("token_embedding.weight", (text["vocab"], width), 0.02)
        self.normal("positional_embedding", (text["context"], width), 0.01)
        self.clip_blocks("", width, text["layers"])
        self.norm("ln_final", width)
        self.normal("text_projection", (width, embed_dim), width**-0.5)
        self.state["logit_scale"] = torch.tensor(math.log(1 / 0.07))
