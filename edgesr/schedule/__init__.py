"""Noise schedules and samplers as tables of coefficients, and the noise that belongs to them: numpy alone, no torch."""

from edgesr.schedule.config import ScheduleConfig
from edgesr.schedule.loop import sample
from edgesr.schedule.noise import noise_field
from edgesr.schedule.table import COLUMNS, SAMPLERS, STARTS, Schedule, Thresholding, make_schedule

__all__ = [
    "COLUMNS",
    "SAMPLERS",
    "STARTS",
    "Schedule",
    "ScheduleConfig",
    "Thresholding",
    "make_schedule",
    "noise_field",
    "sample",
]
