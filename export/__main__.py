"""``python -m export FAMILY --weights W.pth -o NAME.edgesr``: a trained checkpoint becomes a checked model package."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from edgesr.errors import EdgesrError

FAMILIES = {
    "rrdb": ("export.families.rrdb", "RRDB generator of ESRGAN, any number of blocks, x1 to x8"),
    "edsr": ("export.families.edsr", "EDSR and EDSR-baseline, x2, x3, x4, x8"),
    "swinir": ("export.families.swinir", "SwinIR, classical, lightweight, real-world and same-size"),
    "prior-fsr": ("export.families.prior_fsr", "prior-guided face super-resolution, 16 x 16 to 128 x 128"),
    "unet": ("export.families.unet", "U-Net upscaler on ResNet, FastViT or another encoder of timm"),
    "classifier": ("export.families.classifier", "ResNet, FastViT or another classifier of timm"),
    "resnet18": ("export.families.resnet18", "ResNet18 classifier"),
    "deeplabv3": ("export.families.deeplab", "DeepLabV3-MobileNetV3-Large, segmentation"),
    "fasterrcnn": ("export.families.fasterrcnn", "Faster R-CNN MobileNetV3-Large FPN, detection"),
    "rlfn": ("export.families.rlfn", "RLFN, any number of blocks, x2 to x4"),
    "imdn": ("export.families.imdn", "IMDN in the layout of the NTIRE 2022 baseline"),
    "spandrel": ("export.families.spandrel", "any checkpoint that spandrel knows"),
    "lpips": ("export.lpips_onnx", "the perceptual distance LPIPS as one ONNX file, for measuring quality"),
    "evaluate": ("export.evaluate", "measure packages of any task on a data set, by groups too"),
}
"""Name on the command line: the module, with ``add_arguments(parser)`` and ``execute(arguments)``, and its help."""
_PROGRAM = "python -m export"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; only the chosen family is imported."""
    words = list(sys.argv[1:] if words is None else words)
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__.split(": ")[1])
    commands = parser.add_subparsers(dest="family", metavar="FAMILY", required=True)
    chosen = None
    for name, (module, text) in FAMILIES.items():
        command = commands.add_parser(name, help=text, description=text)
        if words[:1] == [name]:
            try:
                chosen = importlib.import_module(module)
            except ModuleNotFoundError as error:
                print(f"{_PROGRAM}: {name} needs {error.name}; pip install 'edgesr[export]'", file=sys.stderr)
                return 3
            chosen.add_arguments(command)
    arguments = parser.parse_args(words)
    assert chosen is not None
    try:
        code = chosen.execute(arguments)
    except EdgesrError as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
