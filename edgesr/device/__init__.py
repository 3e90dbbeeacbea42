"""What machine this is: processor, memory and its limits, GPU, and which Jetson with which JetPack."""

from edgesr.device.files import HERE
from edgesr.device.jetson import JETPACKS, MODULES, SOCS, JetPack, Jetson, Module, find_jetson, jetpack_of, parse_l4t
from edgesr.device.limits import available_memory, usable_cores
from edgesr.device.machine import Machine, this_machine
from edgesr.device.swap import Swap, find_swap

__all__ = [
    "HERE",
    "JETPACKS",
    "MODULES",
    "SOCS",
    "JetPack",
    "Jetson",
    "Machine",
    "Module",
    "Swap",
    "available_memory",
    "find_jetson",
    "find_swap",
    "jetpack_of",
    "parse_l4t",
    "this_machine",
    "usable_cores",
]
