"""Muon for what is a matrix, AdamW for what is not.

Muon (Jordan 2024; its rate scaled as arXiv:2502.16982 does, so that one rate serves both) makes the
mean gradient of a matrix orthogonal before it is applied. A convolution is a matrix of its outputs
by all it reads. At the same number of steps the UNet's loss is lower than with AdamW alone.
"""
import torch

FASTER = 2.5                # Muon's rate, against AdamW's


def as_matrix(t, like):
    """[out, in, kh, kw] as [out, all the rest], in the order of like's memory; a view, where t lies so too."""
    last = t.ndim == 4 and not like.is_contiguous()
    return (t.permute(0, 2, 3, 1) if last else t).flatten(1)


def tables(module):
    """A module's embeddings, which are no matrices to multiply by."""
    return {m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding)}


class Optimiser:
    """parts: [(parameters, share of the rate)]. Those in `plain`, and what is no matrix of `least` rows and columns, are AdamW's."""

    def __init__(self, parts, plain=(), least=16, faster=FASTER):
        self.matrices, self.faster = [], faster
        groups, others = [], []
        for parameters, share in parts:
            parameters = list(parameters)
            chosen = [p for p in parameters if p.ndim >= 2 and p not in plain and min(p.shape[0], p[0].numel()) >= least]
            views = [torch.nn.Parameter(as_matrix(p.data, p)) for p in chosen]
            if any(v.data_ptr() != p.data_ptr() for v, p in zip(views, chosen)):
                raise ValueError("a parameter lies in memory neither channels last nor contiguous")
            self.matrices += zip(views, chosen)
            mine = set(chosen)
            groups.append({"params": views, "share": share})
            others.append({"params": [p for p in parameters if p not in mine], "share": share})
        groups, others = ([g for g in some if g["params"]] for some in (groups, others))
        self.muon = torch.optim.Muon(groups, weight_decay=1e-2, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=1e-2, fused=True) if others else None

    def step(self, rate):
        """One step at this rate. Gradients are gone afterwards."""
        for view, p in self.matrices:
            view.grad = as_matrix(p.grad, p)
        for optimiser, times in ((self.muon, self.faster), (self.adam, 1.0)):
            if optimiser:
                for group in optimiser.param_groups:
                    group["lr"] = rate * times * group["share"]
                optimiser.step()
        for view, p in self.matrices:
            view.grad = p.grad = None
        if self.adam:
            self.adam.zero_grad(set_to_none=True)

    def state_dict(self):
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict() if self.adam else None}

    def load_state_dict(self, state):
        self.muon.load_state_dict(state["muon"])
        if self.adam:
            self.adam.load_state_dict(state["adam"])
