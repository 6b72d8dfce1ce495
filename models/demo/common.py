"""What every training stage shares: where its files live, how it spreads over cores, how it is
stopped and goes on.

On a processor a stage runs as one single-threaded process a core, which average their gradients
once a step: other work on the machine then costs a wait a step, not a wait an operator. On a GPU
it is one process, and the cores draw pictures for it.
"""
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

HELD_OUT = 1 << 30          # seeds from here on are never trained on


def train_dir():
    """Checkpoints, logs and caches: outside the repository, kept between sittings."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(os.environ.get("TINCT_TRAIN_DIR") or os.path.join(cache, "tinct", "train"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def save(path, state):
    """Whole or not at all: a kill in the middle leaves the file before."""
    part = Path(str(path) + ".part")
    torch.save(state, part)
    os.replace(part, path)


class Team:
    """The processes of one stage. rank 0 logs and writes checkpoints."""

    def __init__(self, rank, world, device):
        self.rank, self.world, self.device = rank, world, device
        self.autocast = lambda: torch.autocast(device.type, torch.bfloat16)

    def average(self, parameters):
        """Gradients become their mean over all processes."""
        if self.world == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(flat)
        flat /= self.world
        for g, mean in zip(grads, flat.split([g.numel() for g in grads])):
            g.copy_(mean.view_as(g))

    def meet(self):
        """Goes on when all processes are here."""
        if self.world > 1:
            dist.barrier()

    def together(self, value):
        """rank 0's value, in all processes: for decisions taken by the clock."""
        if self.world == 1:
            return value
        t = torch.tensor(float(value))
        dist.broadcast(t, 0)
        return t.item()


def _member(rank, world, port, stage, args):
    torch.set_num_threads(1)
    torch.manual_seed(1000 + rank)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    stage(Team(rank, world, torch.device("cpu")), args)
    dist.destroy_process_group()


def launch(stage, args):
    """Runs stage(team, args) on the GPU if there is one, else on every core."""
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(1000)
        return stage(Team(0, 1, torch.device("cuda")), args)
    # Large tensors come and go every step: keep their memory, in large pages, rather than fault it in again.
    os.environ.update(MALLOC_MMAP_THRESHOLD_="33554432", MALLOC_TRIM_THRESHOLD_="17179869184", MALLOC_TOP_PAD_="134217728", THP_MEM_ALLOC_ENABLE="1")
    world = len(os.sched_getaffinity(0))
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(_member, (world, port, stage, args), nprocs=world)


class Draw(Dataset):
    """Batch i of a stage: make(i) -> tensors. A function of i alone, so that a stage goes on as if
    it had never stopped."""

    def __init__(self, make, rank, world):
        self.make, self.rank, self.world = make, rank, world

    def __len__(self):
        return 1 << 40

    def __getitem__(self, step):
        return self.make(step * self.world + self.rank)


def batches(team, make, first):
    workers = max(len(os.sched_getaffinity(0)) - 1, 1) if team.device.type == "cuda" else 0
    data = Draw(make, team.rank, team.world)
    return iter(DataLoader(data, batch_size=None, sampler=range(first, 1 << 40), num_workers=workers, pin_memory=workers > 0,
                           **({"prefetch_factor": 4, "persistent_workers": True} if workers else {})))


class EMA:
    """A running mean of weights: smoother, and better, than the last ones."""

    def __init__(self, module, rate):
        self.rate, self.steps = rate, 0
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def update(self, module):
        self.steps += 1
        rate = min(self.rate, (1 + self.steps) / (10 + self.steps))
        for k, v in module.state_dict().items():
            self.weights[k].lerp_(v.detach().to(self.weights[k].dtype), 1 - rate) if v.dtype.is_floating_point else self.weights[k].copy_(v)


def rate_at(step, steps, peak, warm=200, hold=0.6, floor=0.03):
    """Learning rate: warm up, hold, then a cosine down to floor * peak at `steps`."""
    import math
    if step < warm:
        return peak * (step + 1) / warm
    t = (step / steps - hold) / (1 - hold)
    if t <= 0:
        return peak
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(t, 1.0))))


class Log:
    """One line a while, on the terminal and in <train dir>/<stage>.log."""

    def __init__(self, stage, every=50):
        self.file, self.every, self.sums, self.since = train_dir() / f"{stage}.log", every, {}, time.time()

    def add(self, step, steps, **values):
        for k, v in values.items():
            self.sums.setdefault(k, []).append(float(v))
        if (step + 1) % self.every == 0:
            means = "  ".join(f"{k} {sum(v) / len(v):.5f}" for k, v in self.sums.items())
            self.say(f"step {step + 1}/{steps}  {means}  {(time.time() - self.since) / self.every:.3f} s a step")
            self.sums, self.since = {}, time.time()

    def say(self, text):
        line = f"{time.strftime('%H:%M:%S')}  {text}"
        print(line, flush=True)
        with open(self.file, "a") as f:
            f.write(line + "\n")
