"""The three networks of Stable Diffusion 1.x, small, with the key names of the original
CompVis checkpoints: what `state_dict()` gives is what the file holds.

    VAE           first_stage_model.*                         64/64/128/128, factor 8, 4 channels
    UNet          model.diffusion_model.*                     64/128/192/192, 8 heads, 22 M
    TextEncoder   cond_stage_model.transformer.text_model.*   width 128, 3 layers, 2 heads of 64

Widths are arguments, so that a machine with more to give can train a wider model.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from attention import attend
from geglu import geglu
from norm import GroupNorm


# The autoencoder.


class VaeBlock(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.norm1 = GroupNorm(c_in, 1e-6, silu=True)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm2 = GroupNorm(c_out, 1e-6, silu=True)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, x):
        h = self.conv1(self.norm1(x))
        h = self.conv2(self.norm2(h))
        return (x if self.nin_shortcut is None else self.nin_shortcut(x)) + h


class VaeAttention(nn.Module):
    """One head over all pixels."""

    def __init__(self, c):
        super().__init__()
        self.norm = GroupNorm(c, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        n, c, h, w = x.shape
        y = self.norm(x)
        q, k, v = (f(y).flatten(2).transpose(1, 2) for f in (self.q, self.k, self.v))      # [n, hw, c]
        weights = torch.softmax(q @ k.transpose(1, 2) * c ** -0.5, -1).to(v.dtype)
        y = (weights @ v).transpose(1, 2).reshape(n, c, h, w)
        return x + self.proj_out(y.contiguous(memory_format=torch.channels_last))


class VaeDown(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))        # right and below only


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def vae_middle(c):
    return nn.ModuleDict({"block_1": VaeBlock(c, c), "attn_1": VaeAttention(c), "block_2": VaeBlock(c, c)})


class Encoder(nn.Module):
    def __init__(self, widths, z):
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        c = widths[0]
        for i, w in enumerate(widths):
            level = nn.Module()
            level.block = nn.ModuleList([VaeBlock(c, w), VaeBlock(w, w)])
            if i < len(widths) - 1:
                level.downsample = VaeDown(w)
            self.down.append(level)
            c = w
        self.mid = vae_middle(c)
        self.norm_out = GroupNorm(c, 1e-6, silu=True)
        self.conv_out = nn.Conv2d(c, 2 * z, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for level in self.down:
            for block in level.block:
                h = block(h)
            if hasattr(level, "downsample"):
                h = level.downsample(h)
        for part in self.mid.values():
            h = part(h)
        return self.conv_out(self.norm_out(h))


class Decoder(nn.Module):
    def __init__(self, widths, z):
        super().__init__()
        c = widths[-1]
        self.conv_in = nn.Conv2d(z, c, 3, padding=1)
        self.mid = vae_middle(c)
        levels = []
        for i, w in reversed(list(enumerate(widths))):
            level = nn.Module()
            level.block = nn.ModuleList([VaeBlock(c, w), VaeBlock(w, w), VaeBlock(w, w)])
            if i > 0:
                level.upsample = Up(w)
            levels.append(level)
            c = w
        self.up = nn.ModuleList(reversed(levels))       # up.0 is the widest picture, and comes last
        self.norm_out = GroupNorm(c, 1e-6, silu=True)
        self.conv_out = nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, z):
        h = self.conv_in(z)
        for part in self.mid.values():
            h = part(h)
        for level in reversed(self.up):
            for block in level.block:
                h = block(h)
            if hasattr(level, "upsample"):
                h = level.upsample(h)
        return self.conv_out(self.norm_out(h))


class VAE(nn.Module):
    """Pictures [n, 3, h, w] in -1..1; latents [n, 4, h/8, w/8], neither shifted nor scaled here."""

    def __init__(self, widths=(64, 64, 128, 128), z=4):
        super().__init__()
        self.encoder = Encoder(widths, z)
        self.decoder = Decoder(widths, z)
        self.quant_conv = nn.Conv2d(2 * z, 2 * z, 1)
        self.post_quant_conv = nn.Conv2d(z, z, 1)
        nn.init.constant_(self.quant_conv.bias[z:].detach(), -6.0)      # begin with little noise: latents are worth using from the first step

    def encode(self, x):
        """Mean and log variance."""
        mean, logvar = self.quant_conv(self.encoder(x)).float().chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


# The UNet.

def timestep_embedding(t, width):
    """[n, width]: cosines first, as Stable Diffusion has them."""
    half = width // 2
    freqs = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angle = t.float()[:, None] * freqs[None]
    return torch.cat([angle.cos(), angle.sin()], -1)


class ResBlock(nn.Module):
    def __init__(self, c_in, c_out, emb):
        super().__init__()
        self.in_layers = nn.Sequential(GroupNorm(c_in, 1e-5, silu=True), nn.Identity(), nn.Conv2d(c_in, c_out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, c_out))
        self.out_layers = nn.Sequential(GroupNorm(c_out, 1e-5, silu=True), nn.Identity(), nn.Dropout(0.0), nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip_connection = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x, emb, context):
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(c, c, bias=False)
        self.to_k = nn.Linear(context, c, bias=False)
        self.to_v = nn.Linear(context, c, bias=False)
        self.to_out = nn.Sequential(nn.Linear(c, c), nn.Dropout(0.0))

    def forward(self, x, context=None):
        context = x if context is None else context
        n, s, c = x.shape
        q, k, v = (f(y).view(n, -1, self.heads, c // self.heads) for f, y in ((self.to_q, x), (self.to_k, context), (self.to_v, context)))
        return self.to_out(attend(q, k, v, self.training).reshape(n, s, c))


class GEGLU(nn.Module):
    def __init__(self, c, inner):
        super().__init__()
        self.proj = nn.Linear(c, 2 * inner)

    def forward(self, x):
        return geglu(self.proj(x), self.training)


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.net = nn.Sequential(GEGLU(c, 4 * c), nn.Dropout(0.0), nn.Linear(4 * c, c))

    def forward(self, x):
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.attn1 = Attention(c, c, heads)
        self.ff = FeedForward(c)
        self.attn2 = Attention(c, context, heads)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(c), nn.LayerNorm(c), nn.LayerNorm(c)

    def forward(self, x, context):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.norm = GroupNorm(c, 1e-6)
        self.proj_in = nn.Conv2d(c, c, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(c, context, heads)])
        self.proj_out = nn.Conv2d(c, c, 1)

    def forward(self, x, emb, context):
        n, c, h, w = x.shape
        y = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(n, h * w, c)
        for block in self.transformer_blocks:
            y = block(y, context)
        return x + self.proj_out(y.reshape(n, h, w, c).permute(0, 3, 1, 2))


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.op = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, x, emb, context):
        return self.op(x)


class UNetUp(Up):
    def forward(self, x, emb, context):
        return super().forward(x)


class First(nn.Conv2d):
    def forward(self, x, emb, context):
        return super().forward(x)


class UNet(nn.Module):
    """Predicts epsilon. x [n, 4, h, w], t [n] in 0..999, context [n, tokens, context width]."""

    def __init__(self, widths=(64, 128, 192, 192), context=128, heads=8):
        super().__init__()
        c, emb = widths[0], 4 * widths[0]
        self.width = c
        self.time_embed = nn.Sequential(nn.Linear(c, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(4, c, 3, padding=1)])])
        skips, last = [c], len(widths) - 1
        for i, w in enumerate(widths):
            for _ in range(2):
                self.input_blocks.append(nn.ModuleList([ResBlock(c, w, emb)] + ([SpatialTransformer(w, context, heads)] if i < last else [])))
                c = w
                skips.append(c)
            if i < last:
                self.input_blocks.append(nn.ModuleList([Down(c)]))
                skips.append(c)
        self.middle_block = nn.ModuleList([ResBlock(c, c, emb), SpatialTransformer(c, context, heads), ResBlock(c, c, emb)])
        self.output_blocks = nn.ModuleList()
        for i, w in reversed(list(enumerate(widths))):
            for j in range(3):
                parts = [ResBlock(c + skips.pop(), w, emb)] + ([SpatialTransformer(w, context, heads)] if i < last else [])
                c = w
                if j == 2 and i > 0:
                    parts.append(UNetUp(c))
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Sequential(GroupNorm(c, 1e-5, silu=True), nn.Identity(), nn.Conv2d(c, 4, 3, padding=1))
        for name, module in self.named_modules():       # begin as the identity, and as zero
            if name.endswith(("out_layers.3", "proj_out", "out.2")):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x, t, context):
        emb = self.time_embed(timestep_embedding(t, self.width).to(x.dtype))
        h, stack = x, []
        for parts in self.input_blocks:
            for part in parts:
                h = part(h, emb, context)
            stack.append(h)
        for part in self.middle_block:
            h = part(h, emb, context)
        for parts in self.output_blocks:
            h = torch.cat([h, stack.pop()], 1)
            for part in parts:
                h = part(h, emb, context)
        return self.out(h)
