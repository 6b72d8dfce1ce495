"""Reference data for tests/base/test_rng.c and tests/sampler/: rng.txt, schedules.txt, samplers.txt.

    pip install torch==2.13.0 numpy==2.4.6 scipy==1.17.1 diffusers==0.42.1 torchdiffeq==0.2.5 pillow
    pip install --no-deps k-diffusion==0.1.1.post1
    python make_sampler_golden.py

Everything is computed in double, on abar rounded to fp32 as checkpoints hold it. What k-diffusion and diffusers
have is taken from them; what only A1111 1.10.1 has (modules/sd_schedulers.py, sd_samplers_lcm.py,
sd_samplers_timesteps.py) is stated here as its formula.
"""
import math
import os
import sys
import types
import importlib.util
import warnings

import numpy as np
import torch
from scipy import stats
from diffusers import DDIMScheduler, UniPCMultistepScheduler, LCMScheduler, TCDScheduler
import diffusers.schedulers.scheduling_lcm as lcm_module
import diffusers.schedulers.scheduling_tcd as tcd_module

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)

# k_diffusion/__init__.py pulls in training code, and sampling.py a Brownian tree that is not used here.
package = types.ModuleType("k_diffusion")
package.__path__ = list(importlib.util.find_spec("k_diffusion").submodule_search_locations)
sys.modules["k_diffusion"] = package
for name in ("torchsde", "torchvision", "torchvision.transforms"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision.transforms"].functional = None
import k_diffusion.sampling as K
import k_diffusion.external as E

HERE = os.path.dirname(os.path.abspath(__file__))

# ---- levels ---------------------------------------------------------------------------------------------------------

betas = np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2
abar = np.cumprod(1 - betas).astype(np.float32).astype(np.float64)
SIGMAS = np.sqrt((1 - abar) / abar)
LEVELS = E.DiscreteSchedule(torch.tensor(SIGMAS), False)
LEVELS.t_to_sigma = None  # rounds t to fp32; sigma_of below does not
THIN_T = np.arange(19, 1000, 20)
THIN = SIGMAS[THIN_T]


def sigma_of(t, table=SIGMAS):
    return float(np.exp(np.interp(t, np.arange(len(table)), np.log(table))))


def t_of(sigma):
    return float(LEVELS.sigma_to_t(torch.tensor([float(sigma)]))[0])


# ---- schedules ------------------------------------------------------------------------------------------------------

AYS = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029]


def uniform(n, s):
    return [sigma_of(t, s) for t in np.linspace(len(s) - 1, 0, n)] + [0]


def sgm_uniform(n, s):
    return [sigma_of(t, s) for t in np.linspace(len(s) - 1, 0, n + 1)[:-1]] + [0]


def simple(n, s):
    stride = len(s) / n
    return [s[-(1 + int(i * stride))] for i in range(n)] + [0]


def ddim(n, s):
    return list(s[1::max(len(s) // n, 1)][::-1]) + [0]


def ays(n, s):
    if n == 1:
        return [AYS[0], 0]  # tinct's own: A1111 gives 0.029
    return list(np.exp(np.interp(np.linspace(0, 10, n), np.arange(11), np.log(AYS)))) + [0]


def kl_optimal(n, s):
    i = np.arange(n + 1)
    return list(np.tan(i / n * math.atan(s[0]) + (1 - i / n) * math.atan(s[-1])))


def beta(n, s):
    share = stats.beta.ppf(1 - np.linspace(0, 1, n), 0.6, 0.6)
    return list(s[0] + share * (s[-1] - s[0])) + [0]


SCHEDULES = {
    "Uniform": uniform,
    "Karras": lambda n, s: K.get_sigmas_karras(n, s[0], s[-1]).tolist(),
    "Exponential": lambda n, s: K.get_sigmas_exponential(n, s[0], s[-1]).tolist(),
    "SGM Uniform": sgm_uniform,
    "Simple": simple,
    "DDIM": ddim,
    "Align Your Steps": ays,
    "KL Optimal": kl_optimal,
    "Beta": beta,
}


def unipc_own(n):
    """A1111's: t evenly in its NoiseScheduleVP, which interpolates ln abar; as many steps as DDIM has timesteps."""
    m = len(range(0, 1000, 1000 // n))
    t = np.linspace(999, 0, m + 1)
    a = np.exp(np.interp(t, np.arange(1000), np.log(abar)))
    return list(np.sqrt((1 - a) / a)), list(t)


def write_schedules():
    with open(os.path.join(HERE, "schedules.txt"), "w") as f:
        f.write("# schedule|steps asked|sigmas, written by make_sampler_golden.py\n")
        for name, make in SCHEDULES.items():
            for n in (1, 2, 3, 5, 7, 10, 20, 37, 50, 1000):
                f.write("%s|%d|%s\n" % (name, n, " ".join("%.9g" % v for v in make(n, SIGMAS))))
        for n in (1, 2, 5, 10, 20, 30, 37):
            f.write("UniPC|%d|%s\n" % (n, " ".join("%.9g" % v for v in unipc_own(n)[0])))
        for n in (1, 2, 4, 8, 50):
            for name in ("Uniform", "SGM Uniform", "Simple"):
                f.write("LCM %s|%d|%s\n" % (name, n, " ".join("%.9g" % v for v in SCHEDULES[name](n, THIN))))


# ---- the toy model: smooth, not linear, every value leaning on its neighbour ----------------------------------------

COUNT = 24
J = torch.arange(COUNT, dtype=torch.float64)


def toy(x, sigma, t):
    u = x / math.sqrt(sigma * sigma + 1)
    return 0.9 * torch.tanh(1.3 * u + 0.4 * u.roll(-1)) + 0.25 * torch.cos(0.7 * J + math.log1p(sigma)) \
        + 0.1 * math.sin(t / 150)


def draw(k):
    return 1.3 * torch.sin(12.9898 * k + 78.233 * J + 0.37 * k * J)


class Noise:
    """Draw 0 starts the picture; every call gives the next."""

    def __init__(self):
        self.k = 0

    def next(self, *args, **kwargs):
        self.k += 1
        return draw(self.k)[None]


# ---- k-diffusion ----------------------------------------------------------------------------------------------------

KDIFFUSION = {
    "Euler": (K.sample_euler, False), "Euler a": (K.sample_euler_ancestral, True), "Heun": (K.sample_heun, False),
    "DPM2": (K.sample_dpm_2, False), "DPM2 a": (K.sample_dpm_2_ancestral, True), "LMS": (K.sample_lms, False),
    "DPM++ 2S a": (K.sample_dpmpp_2s_ancestral, True), "DPM++ 2M": (K.sample_dpmpp_2m, False),
    "DPM++ 2M SDE": (K.sample_dpmpp_2m_sde, True), "DPM++ SDE": (K.sample_dpmpp_sde, True),
}


def run_kdiffusion(sampler, sigmas, eta, churn):
    function, noisy = KDIFFUSION[sampler]
    noise = Noise()
    torch.randn_like = noise.next  # the churning samplers take theirs from torch itself
    kwargs = {"noise_sampler": noise.next} if noisy else {}
    if eta is not None:
        kwargs.update(eta=eta, s_noise=1.003)
    if churn:
        kwargs.update(s_churn=churn, s_tmin=0.5, s_tmax=10.0, s_noise=1.003)
    model = lambda x, sigma: toy(x[0], float(sigma[0]), t_of(sigma[0]))[None]
    x = draw(0)[None] * sigmas[0]
    if sampler == "DPM++ 2M SDE" and len(sigmas) == 2 and sigmas[1] == 0:
        return toy(x[0], sigmas[0], t_of(sigmas[0]))  # k-diffusion trips over its own h_last; the step is x = D
    return function(model, x, torch.tensor(sigmas), disable=True, **kwargs)[0]


def discard_penultimate(sigmas):
    return sigmas[:-2] + sigmas[-1:]


# ---- diffusers ------------------------------------------------------------------------------------------------------


def eps_of(x_p, sigma, t):
    """What the network says to x of variance 1."""
    x = x_p * math.sqrt(sigma * sigma + 1)
    return (x - toy(x, sigma, t)) / sigma


def with_levels(scheduler):
    scheduler.alphas_cumprod = torch.tensor(abar)
    scheduler.final_alpha_cumprod = torch.tensor(abar[0])
    return scheduler


SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)


def run_ddim(spacing, n, eta):
    s = with_levels(DDIMScheduler(**SD, steps_offset=1 if spacing == "leading" else 0, timestep_spacing=spacing))
    s.set_timesteps(n)
    noise, x = Noise(), draw(0)[None]
    for t in s.timesteps:
        e = eps_of(x[0], SIGMAS[t], float(t))[None]
        kwargs = {"variance_noise": noise.next()} if eta else {}
        x = s.step(e, t, x, eta=eta or 0.0, **kwargs).prev_sample
    return x[0]


def run_distilled(cls, module, n, eta):
    s = with_levels(cls(**SD))
    s.set_timesteps(n)
    noise, x = Noise(), draw(0)[None]
    module.randn_tensor = noise.next
    if cls is LCMScheduler:  # A1111 starts at noise * sigma, diffusers at variance sigma^2 + 1
        x = x * math.sqrt(1 - abar[s.timesteps[0]])
    for t in s.timesteps:
        e = eps_of(x[0], SIGMAS[t], float(t))[None]
        x = s.step(e, t, x, **({"eta": eta} if eta is not None else {})).prev_sample
    return x[0]


def run_unipc(sigmas, timesteps):
    n = len(sigmas) - 1
    s = UniPCMultistepScheduler(solver_order=3, solver_type="bh1", lower_order_final=True, final_sigmas_type="zero")
    s.set_timesteps(n)
    # With bh1 a last sigma of exactly 0 gives diffusers inf * 0; 1e-12 is 0 for a result of order 1.
    s.sigmas = torch.tensor([max(v, 1e-12) for v in sigmas])
    s.timesteps = torch.arange(n)
    s.set_begin_index(0)
    x = draw(0)[None]
    for i in range(n):
        x = s.step(eps_of(x[0], sigmas[i], timesteps[i])[None], s.timesteps[i], x).prev_sample
    return x[0]


# ---- A1111's LCM ----------------------------------------------------------------------------------------------------


def run_lcm_a1111(sigmas):
    noise, x = Noise(), draw(0) * sigmas[0]
    for sigma, after in zip(sigmas, sigmas[1:]):
        t = float(THIN_T[np.argmin(np.abs(np.log(THIN) - math.log(sigma)))])
        q = 10 * t
        x = q / math.sqrt(q * q + 0.25) * toy(x, sigma, t) + 0.25 / (q * q + 0.25) * x
        if after > 0:
            x = x + after * noise.next()[0]
    return x


# ---- every sampler with every schedule ------------------------------------------------------------------------------


def cases():
    steps = (1, 5, 10, 20)
    for sampler in KDIFFUSION:
        for schedule, make in SCHEDULES.items():
            for n in steps:
                more = 1 if sampler in ("DPM2", "DPM2 a") else 0
                sigmas = make(n + more, SIGMAS)
                sigmas = discard_penultimate(sigmas) if more else sigmas
                yield sampler, schedule, n, None, 0, run_kdiffusion(sampler, sigmas, None, 0)
    for sampler in ("Euler a", "DPM2 a", "DPM++ 2S a", "DPM++ 2M SDE", "DPM++ SDE"):
        for eta in (0.0, 0.6):
            sigmas = SCHEDULES["Karras"](10 + (sampler == "DPM2 a"), SIGMAS)
            sigmas = discard_penultimate(sigmas) if sampler == "DPM2 a" else sigmas
            yield sampler, "Karras", 10, eta, 0, run_kdiffusion(sampler, sigmas, eta, 0)
    for sampler in ("Euler", "Heun", "DPM2"):
        sigmas = SCHEDULES["Karras"](10 + (sampler == "DPM2"), SIGMAS)
        sigmas = discard_penultimate(sigmas) if sampler == "DPM2" else sigmas
        yield sampler, "Karras", 10, None, 4, run_kdiffusion(sampler, sigmas, None, 4.0)
    for schedule, spacing in (("DDIM", "leading"), ("Simple", "trailing")):
        for n in steps:
            for eta in (None, 0.7, 1.0):
                yield "DDIM", schedule, n, eta, 0, run_ddim(spacing, n, eta)
    for n in steps:
        yield "UniPC", "Automatic", n, None, 0, run_unipc(*unipc_own(n))
        for schedule, make in SCHEDULES.items():
            sigmas = make(n, SIGMAS)
            yield "UniPC", schedule, n, None, 0, run_unipc(sigmas, [t_of(v) if v > 0 else 0 for v in sigmas])
    for n in (1, 2, 4, 8, 20):
        yield "LCM", "Simple", n, None, 0, run_distilled(LCMScheduler, lcm_module, n, None)
        for schedule in ("Uniform", "SGM Uniform"):
            yield "LCM", schedule, n, None, 0, run_lcm_a1111(SCHEDULES[schedule](n, THIN))
        for eta in (None, 0.0, 0.8, 1.0):
            yield "TCD", "Simple", n, eta, 0, run_distilled(TCDScheduler, tcd_module, n, eta)


def write_samplers():
    with open(os.path.join(HERE, "samplers.txt"), "w") as f:
        f.write("# sampler|schedule|steps|eta (-: its own)|s_churn|x, written by make_sampler_golden.py\n")
        for sampler, schedule, n, eta, churn, x in cases():
            f.write("%s|%s|%d|%s|%g|%s\n" % (sampler, schedule, n, "-" if eta is None else eta, churn,
                                            " ".join("%.8g" % v for v in x)))


# ---- random numbers -------------------------------------------------------------------------------------------------


def philox(seed, offset, n):
    """A1111's rng_philox: Philox4x32-10 in numpy, its angle constant a float."""
    mask = np.uint64(0xFFFFFFFF)
    c = [np.full(n, offset & 0xFFFFFFFF, np.uint64), np.full(n, offset >> 32, np.uint64),
         np.arange(n, dtype=np.uint64), np.zeros(n, np.uint64)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & mask,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & mask]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    unit, angle = np.float64(np.float32(2.3283064e-10)), np.float64(np.float32(2.3283064e-10 * 6.2831855))
    u, v = c[0] * unit + unit / 2, c[1] * angle + angle / 2
    return (np.sqrt(-2 * np.log(u)) * np.sin(v)).astype(np.float32)


def fnv(values):
    h = 0xCBF29CE484222325
    for byte in np.asarray(values, "<f4").tobytes():
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def slerp(share, a, b):
    """A1111's: angles over the second of three dimensions."""
    a, b = a.double(), b.double()
    angle = torch.acos((a / a.norm(dim=1, keepdim=True) * (b / b.norm(dim=1, keepdim=True))).sum(1, keepdim=True))
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)


def nhwc(x):
    return np.ascontiguousarray(np.asarray(x).reshape(4, 64, 64).transpose(1, 2, 0)).reshape(-1)


def torch_noise(seed, sizes):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=g, dtype=torch.float32).numpy() for s in sizes]


def write_rng():
    with open(os.path.join(HERE, "rng.txt"), "w") as f:
        every = lambda x: " ".join("%.9g" % v for v in np.asarray(x).reshape(-1)[::97])
        f.write("# what|values, written by make_sampler_golden.py; latents 64x64 of seed 42 in NHWC, each 97th value\n")
        gpu = [nhwc(philox(42, k, 16384)) for k in range(2)]
        cpu = [nhwc(x) for x in torch_noise(42, (16384, 16384))]
        f.write("gpu hash|%016x\n" % fnv(gpu[0]))
        for k in range(2):
            f.write("gpu %d|%s\ncpu %d|%s\n" % (k, every(gpu[k]), k, every(cpu[k])))
        pair = [torch.tensor(philox(s, 0, 16384)).reshape(4, 64, 64) for s in (42, 1234)]
        f.write("gpu variation 1234 0.3|%s\n" % every(nhwc(slerp(0.3, *pair).numpy())))
        f.write("gpu ensd 31337|%s\n" % every(nhwc(philox(42 + 31337, 0, 16384))))
        f.write("gpu seed 0|%s\n" % " ".join("%.9g" % v for v in philox(0, 0, 12)))
        f.write("gpu seed 81985529216486895|%s\n" % " ".join("%.9g" % v for v in philox(81985529216486895, 0, 12)))
        for n in (6, 15, 16, 25, 100):
            for k, x in enumerate(torch_noise(0, (n, n))):
                f.write("cpu seed 0 n %d draw %d|%s\n" % (n, k, " ".join("%.9g" % v for v in x)))


if __name__ == "__main__":
    write_rng()
    write_schedules()
    write_samplers()
