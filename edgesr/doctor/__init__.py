"""Check that this machine can run edgesr, and say what to do where it cannot."""

from edgesr.doctor.check import Check
from edgesr.doctor.diagnose import diagnose
from edgesr.doctor.interpreter import Interpreter

__all__ = ["Check", "Interpreter", "diagnose"]
