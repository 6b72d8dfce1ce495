"""Group normalisation followed by SiLU, as one step with a backward pass of its own.

PyTorch's group norm takes three quarters of a training step on a processor, since its backward
pass runs over a picture channel by channel. Here both passes are sums over rows of channels and
one affine map, on channels-last tensors: three times faster. On a GPU PyTorch's own is used.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

GROUPS = 32


class _NormSilu(torch.autograd.Function):
    """y = act((x - mean) * rstd * w + b), mean and rstd over a group of channels and all pixels."""

    @staticmethod
    def forward(ctx, x, w, b, eps, silu):
        n, c, height, width = x.shape
        v = x.permute(0, 2, 3, 1).reshape(n, height * width, c)
        count = height * width * c // GROUPS
        mean = _over_group(_sum_pixels(v), count)
        square = _over_group(_sum_pixels(v * v), count)
        rstd = torch.rsqrt((square - mean * mean).clamp_min(0) + eps)
        gain = rstd * w
        y = torch.addcmul((b - mean * gain).to(v.dtype)[:, None], v, gain.to(v.dtype)[:, None])
        ctx.save_for_backward(v, y if silu else None, w, mean, rstd)
        ctx.shape, ctx.count = x.shape, count
        if silu:
            y = F.silu(y)
        return y.view(n, height, width, c).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, g):
        v, before, w, mean, rstd = ctx.saved_tensors
        n, c, height, width = ctx.shape
        g = g.permute(0, 2, 3, 1).reshape(v.shape).to(v.dtype)
        if before is not None:
            g = torch.ops.aten.silu_backward(g, before)
        db = _sum_pixels(g)
        dw = rstd * (_sum_pixels(g * v) - mean * db)           # sum of g * normalised x
        k1, k2 = _over_group(db * w, ctx.count), _over_group(dw * w, ctx.count)
        # dx = rstd * (w g - k1 - k2 (x - mean) rstd), gathered into gains of g and x and a constant
        gain_x = -rstd * rstd * k2
        constant = -rstd * k1 - mean * gain_x
        dx = torch.addcmul(constant.to(v.dtype)[:, None], v, gain_x.to(v.dtype)[:, None])
        dx = dx.addcmul_(g, (rstd * w).to(v.dtype)[:, None])
        return dx.view(n, height, width, c).permute(0, 3, 1, 2), dw.sum(0), db.sum(0), None, None


def _sum_pixels(v):
    """[n, pixels, c] -> [n, c] fp32. Runs of pixels are summed first in v's own type (inside, PyTorch
    sums them in fp32), which saves an fp32 copy of everything."""
    n, pixels, c = v.shape
    runs = math.gcd(pixels, 64)
    return v.view(n, runs, -1, c).sum(1).sum(1, dtype=torch.float32)


def _over_group(sums, count):
    """[n, c] sums of channels -> [n, c] means of the groups they are in."""
    n, c = sums.shape
    return (sums.view(n, GROUPS, -1).sum(2) / count).repeat_interleave(c // GROUPS, 1)


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm with 32 groups; `silu` follows it where asked for."""

    def __init__(self, channels, eps, silu=False):
        super().__init__(GROUPS, channels, eps=eps)
        self.silu = silu

    def forward(self, x):
        if x.is_cuda or not self.training:
            y = F.group_norm(x.float(), GROUPS, self.weight, self.bias, self.eps).to(x.dtype)
            return F.silu(y) if self.silu else y
        return _NormSilu.apply(x, self.weight, self.bias, self.eps, self.silu)
