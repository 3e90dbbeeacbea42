"""What a restored picture is worth: published metrics in float64 on numpy, without any other library."""

from edgesr.bench.metrics.detail import block_rank_correlation, detail_precision, grid_index
from edgesr.bench.metrics.fidelity import psnr
from edgesr.bench.metrics.figures import METRICS, Metric
from edgesr.bench.metrics.lpips import Lpips
from edgesr.bench.metrics.planes import CHANNELS, Channel, Pair, luma
from edgesr.bench.metrics.score import Scores, measure_scores, score
from edgesr.bench.metrics.structure import gmsd, ms_ssim, ssim

__all__ = [
    "CHANNELS",
    "METRICS",
    "Channel",
    "Lpips",
    "Metric",
    "Pair",
    "Scores",
    "block_rank_correlation",
    "detail_precision",
    "gmsd",
    "grid_index",
    "luma",
    "measure_scores",
    "ms_ssim",
    "psnr",
    "score",
    "ssim",
]
