"""A plain OpenCV loop with a network in it: python opencv_loop.py clip.mp4 out.avi [MODEL]."""

from __future__ import annotations

import sys

import cv2

import edgesr


def main(source: str, target: str, model: str = "cxr-x4-fast") -> int:
    """Restore every frame that OpenCV reads and return how many there were."""
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    writer, count = None, 0
    with edgesr.load(model, color="bgr") as restore:
        while True:
            is_read, frame = camera.read()
            if not is_read:
                break
            large = restore(frame)  # uint8 (H, W, 3) BGR in and out, as OpenCV has it
            if writer is None:
                size = (large.shape[1], large.shape[0])
                rate = camera.get(cv2.CAP_PROP_FPS) or 30.0
                writer = cv2.VideoWriter(target, cv2.VideoWriter_fourcc(*"MJPG"), rate, size)
            writer.write(large)
            count += 1
    camera.release()
    if writer is not None:
        writer.release()
    return count


if __name__ == "__main__":
    print(main(*sys.argv[1:]), "frames")
