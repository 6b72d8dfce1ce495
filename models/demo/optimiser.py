"""Muon for what is a matrix, AdamW for what is not.

Muon (Jordan 2024; its rate scaled as arXiv:2502.16982 does, so that one rate serves both) makes the
mean gradient of a matrix orthogonal before it is applied. A convolution is a matrix of its outputs
by all it reads. At the same number of steps the UNet's loss is lower than with AdamW alone.
"""
import torch

LEAST = 16                  # rows and columns of a matrix that Muon takes
FASTER = 2.5                # Muon's rate, against AdamW's


def as_matrix(t):
    """[out, in, kh, kw], channels last, as [out, kh kw in]: a view."""
    return t.permute(0, 2, 3, 1).flatten(1) if t.ndim == 4 else t


class Optimiser:
    """parts: [(module, share of the rate)]. Embeddings are AdamW's, as norms and biases are."""

    def __init__(self, parts):
        self.matrices, others = [], []
        groups = []
        for module, share in parts:
            tables = {m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding)}
            chosen = [p for p in module.parameters() if p.ndim >= 2 and p not in tables and min(as_matrix(p).shape) >= LEAST]
            views = [torch.nn.Parameter(as_matrix(p.data)) for p in chosen]
            if any(v.data_ptr() != p.data_ptr() for v, p in zip(views, chosen)):
                raise ValueError("a convolution's weights are not channels last")
            self.matrices += zip(views, chosen)
            groups.append({"params": views, "share": share})
            mine = set(chosen)
            others.append({"params": [p for p in module.parameters() if p not in mine], "share": share})
        self.muon = torch.optim.Muon(groups, weight_decay=1e-2, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=1e-2, fused=True)

    def step(self, rate):
        """One step at this rate. Gradients are gone afterwards."""
        for view, p in self.matrices:
            view.grad = as_matrix(p.grad)
        for optimiser, times in ((self.muon, FASTER), (self.adam, 1.0)):
            for group in optimiser.param_groups:
                group["lr"] = rate * times * group["share"]
            optimiser.step()
        for view, p in self.matrices:
            view.grad = p.grad = None
        self.adam.zero_grad(set_to_none=True)

    def state_dict(self):
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
