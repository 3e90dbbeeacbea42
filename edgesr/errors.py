"""The errors a user can meet. Each says what was wrong with which value and what to do, and knows its exit code.

EdgesrError
├── UsageError      2  a wrong option or argument
├── InputError      6  a picture that cannot be read, written or processed
├── ModelError      3  a model package or ONNX file that is missing, corrupt or unsupported
│   └── StaleEngineError
├── BackendError    3  a device, library or runtime that is missing or failed
│   ├── OutOfMemoryError
│   └── NonFiniteError
├── BuildError      4  an engine that could not be built
└── AccuracyError   5  a result that missed its accuracy gate
"""


class EdgesrError(Exception):
    """Base of all edgesr errors; catch it to catch every failure that is not a bug."""

    exit_code = 1


class UsageError(EdgesrError):
    """A wrong option or argument value."""

    exit_code = 2


class InputError(EdgesrError):
    """A picture that cannot be read, written or processed."""

    exit_code = 6


class ModelError(EdgesrError):
    """A model package or ONNX file that is missing, corrupt or unsupported."""

    exit_code = 3


class StaleEngineError(ModelError):
    """A whole engine file that TensorRT does not load; a new build of it may."""


class BackendError(EdgesrError):
    """A device, library or runtime that is missing or failed."""

    exit_code = 3


class OutOfMemoryError(BackendError):
    """The device could not hold the buffers or activations of one run."""


class NonFiniteError(BackendError):
    """A network that made NaN or infinite values."""


class BuildError(EdgesrError):
    """An engine that could not be built."""

    exit_code = 4


class AccuracyError(EdgesrError):
    """A result that missed its accuracy gate."""

    exit_code = 5
