"""GEGLU with a backward pass of its own: geglu.c on a processor while training, PyTorch's otherwise.

PyTorch takes six passes over the widest activations of a block for it, and glues their gradients together again.
"""
import torch
import torch.nn.functional as F

from kernels import library, pointers, sizes


class _Geglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.bfloat16().contiguous()
        ctx.save_for_backward(x)
        y = torch.empty(*x.shape[:-1], x.shape[-1] // 2, dtype=x.dtype)
        library().geglu_forward(*pointers(y, x), *sizes(y.numel() // y.shape[-1], y.shape[-1]))
        return y

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        g, dx = g.bfloat16().contiguous(), torch.empty_like(x)
        library().geglu_backward(*pointers(dx, g, x), *sizes(g.numel() // g.shape[-1], g.shape[-1]))
        return dx


def geglu(x, training):
    """[..., 2 inner], values then gates -> [..., inner]: value gelu(gate)."""
    if training and not x.is_cuda:
        return _Geglu.apply(x)
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate)
