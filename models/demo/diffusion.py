"""Stable Diffusion 1's noise schedule, the training loss, and a small sampler to look at progress."""
import numpy as np
import torch
import torch.nn.functional as F

STEPS = 1000
ALPHAS = torch.cumprod(1 - torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, STEPS, dtype=torch.float64) ** 2, 0).float()
GAMMA = 5.0                 # of min-SNR, arXiv:2303.09556
NOISIER = {128: 1.0, 256: 0.6}      # larger pictures begin with the small ones' details, and have to learn to hold together, which is decided in noise


def times(rng, count, side):
    """[count] timesteps, spread over all of them, for pictures of this side. rng: numpy Generator."""
    spread = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy((spread ** NOISIER[side] * STEPS).astype(np.int64))


def noised(z, t, noise):
    a = ALPHAS.to(z.device)[t].view(-1, 1, 1, 1)
    return a.sqrt() * z + (1 - a).sqrt() * noise


def epsilon_loss(predicted, noise, t):
    """Mean squared error of epsilon, weighted min(SNR, 5) / SNR."""
    a = ALPHAS.to(noise.device)[t]
    weight = (GAMMA * (1 - a) / a).clamp(max=1.0)
    return (weight * F.mse_loss(predicted.float(), noise, reduction="none").mean((1, 2, 3))).mean()


def karras_sigmas(steps, rho=7.0):
    sigma = ((1 - ALPHAS) / ALPHAS).sqrt()
    low, high = sigma[0] ** (1 / rho), sigma[-1] ** (1 / rho)
    return torch.cat([(high + torch.linspace(0, 1, steps) * (low - high)) ** rho, torch.zeros(1)])


@torch.no_grad()
def dpmpp_2m(model, x, steps=20):
    """DPM-Solver++(2M) on Karras sigmas. model(x / sqrt(sigma^2 + 1), t) -> epsilon; x: unit noise."""
    all_logs = ((1 - ALPHAS) / ALPHAS).sqrt().log()
    sigmas = karras_sigmas(steps)
    x, before, last = x * (sigmas[0] ** 2 + 1).sqrt(), None, None
    for sigma, after in zip(sigmas[:-1], sigmas[1:]):
        t = (all_logs - sigma.log()).abs().argmin()
        denoised = x - sigma * model(x / (sigma ** 2 + 1).sqrt(), t.to(x.device).expand(len(x))).float()
        h = (sigma / after).log() if after > 0 else None
        if h is None:
            return denoised
        d = denoised if last is None else denoised + (denoised - before) * h / (2 * last)
        x = (after / sigma) * x - torch.expm1(-h) * d
        before, last = denoised, h
    return x


def guided(unet, context, empty, scale):
    """Classifier-free guidance as a model for dpmpp_2m."""
    both = torch.cat([empty.expand_as(context), context])

    def model(x, t):
        free, told = unet(torch.cat([x, x]), torch.cat([t, t]), both).float().chunk(2)
        return free + scale * (told - free)
    return model
