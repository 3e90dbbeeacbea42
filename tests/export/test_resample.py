"""The fixed operators against the libraries that define them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
Image = pytest.importorskip("PIL.Image")

from export.models.resample import BicubicUpsampler, Downscalers  # noqa: E402


@pytest.mark.parametrize("size", [(13, 17), (1, 1), (2, 5)])
def test_bicubic_convolution_equals_cv2(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(size, dtype=np.float32)
    expected = cv2.resize(image, (size[1] * 4, size[0] * 4), interpolation=cv2.INTER_CUBIC).reshape(4 * size[0], -1)
    ours = BicubicUpsampler()(torch.from_numpy(image)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_downscalers_equal_cv2_cubic_cv2_area_and_pillow_bicubic() -> None:
    image = np.random.default_rng(1).random((52, 68), dtype=np.float32)
    downscale = Downscalers()
    high = torch.from_numpy(image)[None, None]
    ours = (downscale(high) / downscale.inside(high[..., ::4, ::4]))[0].numpy()
    expected = [
        cv2.resize(image, (17, 13), interpolation=cv2.INTER_CUBIC),
        cv2.resize(image, (17, 13), interpolation=cv2.INTER_AREA),
        np.asarray(Image.fromarray(image).resize((17, 13), Image.Resampling.BICUBIC)),
    ]
    np.testing.assert_allclose(ours, np.stack(expected), atol=1e-6)
