"""Latent diffusion of pictures of any size in a few steps, true to what was measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from edgesr.engines.base import Backend
from edgesr.errors import AccuracyError, UsageError
from edgesr.image import Metadata
from edgesr.image.convert import check_pixels
from edgesr.model.package import ModelPackage
from edgesr.pipelines.bands import Band
from edgesr.pipelines.diffusion_bands import diffuse_bands
from edgesr.pipelines.diffusion_network import DiffusionNetwork
from edgesr.pipelines.diffusion_options import DiffusionOptions, resolve
from edgesr.pipelines.latent_tiles import latent_tiles
from edgesr.pipelines.network import Timings
from edgesr.pipelines.pipeline import PicturePipeline
from edgesr.pipelines.result import Result
from edgesr.types import Array
