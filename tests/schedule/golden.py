"""Run diffusers' own schedulers and write every state they pass through.

With diffusers installed: ``python -m tests.schedule.golden`` renews ``tests/data/diffusers_schedules.json``.
"""

from __future__ import annotations

import importlib
import json
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from tests.schedule.cases import cases, first_state, network, noise

PATH = Path(__file__).parents[1] / "data" / "diffusers_schedules.json"


class Double:
    """A module, in which float32 is float64: diffusers' tables are written for float32 alone."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, "float64" if name == "float32" else name)


def trajectory(case: dict[str, Any], *, precise: bool = True) -> list[np.ndarray]:
    """Return the state after every step, as diffusers computes it; in its own float32 where not ``precise``."""
    import diffusers
    import torch

    config = dict(case["config"])
    name = config.pop("_class_name")
    module = importlib.import_module(getattr(diffusers, name).__module__)
    if name == "LCMScheduler":  # its skip connection vanishes at long times: what is left is x0, diffused anew
        config["timestep_scaling"] = 1e9
    kind = torch.float64 if precise else torch.float32
    tables = {"torch": Double(torch), "np": Double(np)} if precise else {}
    given: list[torch.Tensor] = []
    randn = mock.patch.object(module, "randn_tensor", lambda *_, **__: given[-1], create=True)
    with mock.patch.multiple(module, **tables) if tables else mock.patch.dict({}), randn, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = getattr(module, name)(**config)
        if "timesteps" in case:
            scheduler.set_timesteps(timesteps=case["timesteps"])
        else:
            scheduler.set_timesteps(case["steps"])
        state, states = torch.tensor(first_state()).to(kind), []
        for step, t in enumerate(scheduler.timesteps):
            is_last = step == len(scheduler.timesteps) - 1
            given.append(torch.tensor(noise(step) * (not is_last)).to(kind))
            scaled = scheduler.scale_model_input(state, t).to(kind)
            out = torch.tensor(network(scaled.numpy(), float(t))).to(kind)
            options: dict[str, Any] = {}
            if name == "DDIMScheduler":
                options = {"eta": case.get("eta", 0.0), "use_clipped_model_output": True}
                options |= {"variance_noise": given[-1]} if case.get("eta") else {}
            state = scheduler.step(out, t, state, **options).prev_sample
            states.append(state.double().numpy().copy())
    return states


def main() -> None:
    import diffusers
    import torch

    diffusers.logging.set_verbosity_error()
    found = []
    for case in cases():
        states = [[float(f"{value:.12g}") for value in state.ravel()] for state in trajectory(case)]
        kept = range(len(states)) if len(states) <= 20 else [*range(0, len(states), 10), len(states) - 1]
        found.append({**case, "states": {str(step): states[step] for step in kept}})
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__, "numpy": np.__version__}
    head = json.dumps({"versions": versions, "precision": "float64"})[:-1]
    lines = ",\n".join(re.sub(r"\s+", " ", json.dumps(entry)) for entry in found)
    PATH.write_text(f'{head}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
