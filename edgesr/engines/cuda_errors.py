"""What the CUDA runtime's error codes mean for the person who meets them, and what to do."""

from __future__ import annotations

from edgesr.errors import BackendError, OutOfMemoryError

OUT_OF_MEMORY = 2
INSUFFICIENT_DRIVER = 35

_RESTART = "the GPU's work and memory in this process are lost: restart it"
_CAPTURE = "this work cannot be recorded as a CUDA graph; run it without graphs"
# Codes of driver_types.h, the same in CUDA 11, 12 and 13.
REMEDIES = {
    OUT_OF_MEMORY: "use a smaller --tile, or free GPU memory (a Jetson's GPU shares it with all programs)",
    3: "CUDA could not start; in a forked process start with the method 'spawn', else reboot",
    34: "the linker's stub of libcuda.so was loaded; take the stubs folder out of LD_LIBRARY_PATH",
    INSUFFICIENT_DRIVER: "update the NVIDIA driver, install one where there is none, or use an older CUDA runtime",
    36: "update the NVIDIA driver, or use an older CUDA runtime",
    46: "another process holds the GPU exclusively; end it, or set the compute mode to default with nvidia-smi",
    100: "no NVIDIA GPU is visible; look at nvidia-smi and CUDA_VISIBLE_DEVICES, and start containers with GPU access",
    101: "choose one of the GPUs that nvidia-smi lists",
    209: "this library has no code for this GPU; install the one that NVIDIA offers for this board",
    214: "the GPU's memory has a defect; reset the GPU or replace it",
    400: "a stream, event or graph is closed or of another context; with pycuda import pycuda.autoprimaryctx",
    700: f"a kernel went outside its memory; {_RESTART}, and look for the place with compute-sanitizer",
    702: f"a kernel ran longer than the display allows; {_RESTART}",
    709: "the context was destroyed by another library; restart this process",
    710: f"a kernel's assertion failed; {_RESTART}",
    719: f"a kernel failed; {_RESTART}, and look for the place with compute-sanitizer",
    801: "this GPU or its driver cannot do this",
    802: "the GPU's fabric or firmware is still starting; wait a minute",
    803: "the driver's kernel module and libraries are of different versions; reboot",
    804: "CUDA's compatibility libraries do not serve this GPU; take them out of LD_LIBRARY_PATH",
    900: f"a call that waits or allocates came while a stream was being captured; {_CAPTURE}",
    901: f"an earlier error spoiled the capture; {_CAPTURE}",
    902: f"two captures were joined; {_CAPTURE}",
    903: f"the capture was not begun on this stream; {_CAPTURE}",
    904: f"a second stream was not joined before the capture ended; {_CAPTURE}",
    905: f"the captured stream waits for work outside the capture; {_CAPTURE}",
    906: f"the default stream was used during the capture; {_CAPTURE}",
    907: f"an event of the capture was waited for; {_CAPTURE}",
    908: f"the capture was ended by another thread than began it; {_CAPTURE}",
    999: f"the driver does not say more; {_RESTART}, and look at the kernel's log with dmesg",
}
_LAST_RESORT = "look at `edgesr doctor`"
# After these every later call fails in the same way (cudaError in the CUDA runtime API reference).
_CONTEXT_LOST = {214, 700, 702, 710, 714, 715, 716, 717, 718, 719, 720}


def cuda_error(call: str, code: int, name: str, meaning: str) -> BackendError:
    """Make the error for ``code`` returned by ``call``; ``name`` and ``meaning`` are the library's own words."""
    remedy = REMEDIES.get(code, f"{_RESTART}" if code in _CONTEXT_LOST else _LAST_RESORT)
    kind = OutOfMemoryError if code == OUT_OF_MEMORY else BackendError
    return kind(f"{call} failed with {name} ({code}), {meaning}: {remedy}")
