"""The noise-predicting network of the X-ray latent diffusion: a U-Net of 813,220 parameters in its published form."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

TIME_FEATURES = 64
TIME_EMBEDDING = 256
WIDTHS = (32, 48, 128)
DIVISOR = 2 ** (len(WIDTHS) - 1)
"""Height and width of the latent must be multiples of it."""


class UNetLite(nn.Module):
    """Predict noise or the clean latent from the noisy latent, a condition of the same shape, and the timestep.

    Published of the fifth paper's network: 8 input channels (latent and condition), 4 output channels, a time
    embedding of 256, and the count of parameters. This layout has exactly that count: three levels of 32, 48 and 128
    channels; one residual block per level on the way down, two on the way up; average pooling down; nearest neighbour
    and a 3 x 3 convolution up; skips by concatenation; 64 sinusoids, then two linear layers to the embedding, then a
    bias per block. Nothing normalises over the picture, so a tile with enough overlap equals the whole.
    """

    gain: Tensor

    def __init__(self, channels: int = 4, predicts_x0: bool = False) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.channels, self.predicts_x0 = channels, predicts_x0
        self.embed = TimeEmbedding()
        self.stem = nn.Conv2d(2 * channels, first, 3, padding=1)
        self.down = nn.ModuleList((TimedBlock(first, first), TimedBlock(first, second), TimedBlock(second, third)))
        self.lift = nn.ModuleList((nn.Conv2d(third, third, 3, padding=1), nn.Conv2d(second, second, 3, padding=1)))
        self.up = nn.ModuleList(
            (
                nn.ModuleList((TimedBlock(third + second, second), TimedBlock(second, second))),
                nn.ModuleList((TimedBlock(second + first, first), TimedBlock(first, first))),
            )
        )
        self.head = nn.Conv2d(first, channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("gain", torch.ones(1, channels, 1, 1))

    def forward(self, sample: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        """Take ``sample`` and ``condition`` ``(N, channels, h, w)``, and ``timestep`` float32 ``(N,)`` or ``(1,)``.

        Return the noise; or, where ``predicts_x0``, the condition plus a correction, which is zero before training.
        ``gain``, one per channel, is how large a correction of 1 is.
        """
        time = self.embed(timestep)
        x = self.stem(torch.cat((sample, condition), dim=1))
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else functional.avg_pool2d(x, 2), time)
            skips.append(x)
        for lift, blocks, skip in zip(self.lift, self.up, skips[-2::-1], strict=True):
            x = torch.cat((lift(functional.interpolate(x, scale_factor=2.0, mode="nearest")), skip), dim=1)
            for block in blocks:
                x = block(x, time)
        prediction = self.head(functional.silu(x))
        return condition + self.gain * prediction if self.predicts_x0 else prediction


class TimeEmbedding(nn.Module):
    """Turn timesteps ``(N,)`` into ``(N, 256)``: sinusoids of Vaswani et al. 2017, then two linear layers."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        half = TIME_FEATURES // 2
        steps = torch.arange(half, dtype=torch.float32) / half
        self.register_buffer("frequencies", torch.exp(-math.log(10000.0) * steps)[None], persistent=False)
        self.first = nn.Linear(TIME_FEATURES, TIME_EMBEDDING)
        self.second = nn.Linear(TIME_EMBEDDING, TIME_EMBEDDING)

    def forward(self, timestep: Tensor) -> Tensor:
        """Embed float timesteps."""
        angles = timestep.reshape(-1, 1) * self.frequencies
        waves = torch.cat((torch.cos(angles), torch.sin(angles)), dim=1)
        return functional.silu(self.second(functional.silu(self.first(waves))))


class TimedBlock(nn.Module):
    """Activation, convolution, bias of the timestep, activation, convolution, around an identity or 1 x 1 convolution.

    The second convolution starts at zero.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bias = nn.Linear(TIME_EMBEDDING, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, features: Tensor, time: Tensor) -> Tensor:
        """Return ``(N, outputs, h, w)``; ``time`` is ``(N, 256)`` or ``(1, 256)``."""
        inner = self.first(functional.silu(features)) + self.bias(time)[:, :, None, None]
        return self.shortcut(features) + self.second(functional.silu(inner))
