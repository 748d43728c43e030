"""Arrays, tensors and PIL images: the same kind comes back, and what is no image is refused with what would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from restore.errors import ArrayError, ImageError, ImageTooLarge
from restore.images import Photo, from_any, to_photo

quick = settings(max_examples=60, deadline=None)
SHAPES = st.sampled_from([(), (1,), (3,), (4,)]).flatmap(
    lambda last: st.tuples(st.integers(5, 9), st.integers(5, 9)).map(lambda size: (*size, *last))
)


def there_and_back(image: Any) -> Any:
    images, form = from_any(image)
    return form.to_same_kind(images)


def noise(*shape: int) -> NDArray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@quick
@given(st.sampled_from([np.uint8, np.uint16, ">u2"]).flatmap(lambda kind: arrays.arrays(kind, SHAPES)))
def test_integer_arrays_come_back_exactly(array: NDArray) -> None:
    result = there_and_back(array)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


@quick
@given(
    st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
        lambda kind: arrays.arrays(kind, SHAPES, elements=st.floats(0, 1, width=16))
    )
)
def test_float_arrays_come_back_in_their_type(array: NDArray) -> None:
    result = there_and_back(array)
    assert (result.dtype, result.shape) == (array.dtype, array.shape)
    np.testing.assert_allclose(result, array, atol=2e-3 if array.dtype == np.float16 else 2e-7)


@pytest.mark.parametrize(
    "shape", [(3, 8, 9), (1, 8, 9), (4, 8, 9), (2, 8, 9, 3), (2, 3, 8, 9), (5, 1, 8, 9), (3, 5, 3)]
)
def test_layouts(shape: tuple[int, ...]) -> None:
    array = noise(*shape)
    images, form = from_any(array)
    assert len(images) == (shape[0] if len(shape) == 4 else 1)
    size = shape[-3:-1] if shape[-1] in (1, 3, 4) else shape[-2:]
    assert images[0].pixels.shape == (3, *size)
    np.testing.assert_array_equal(form.to_same_kind(images), array)


def test_the_values_mean_what_they_should() -> None:
    array = noise(6, 7, 3)
    expected = torch.from_numpy(array).permute(2, 0, 1).double() / 127.5 - 1
    for same in (array, np.moveaxis(array, -1, 0), array / 255.0, array.astype(np.uint16) * 257):
        assert torch.allclose(to_photo(same).pixels.double(), expected, atol=1e-6)
    for tensor in (torch.from_numpy(array).permute(2, 0, 1), torch.from_numpy(array / 255.0).permute(2, 0, 1)):
        assert torch.allclose(to_photo(tensor).pixels.double(), expected, atol=1e-6)


def test_strides_of_every_kind_are_accepted() -> None:
    array = noise(8, 9, 3)
    frozen = array.copy()
    frozen.flags.writeable = False
    for view in (array[::-1], array[:, ::-1], array[::2, ::3], array[..., ::-1], np.asfortranarray(array), frozen):
        np.testing.assert_array_equal(there_and_back(view), view)
        assert torch.equal(to_photo(view).pixels, to_photo(view.copy()).pixels)


def test_what_comes_in_is_not_changed() -> None:
    for array in (
        noise(6, 7, 3),
        noise(6, 7),
        (noise(6, 7, 3) / 255).astype(np.float32),
        (noise(6, 7) / 255).astype("f4"),
    ):
        for holder in (array, torch.from_numpy(np.atleast_3d(array)).permute(2, 0, 1)):
            before = holder.copy() if isinstance(holder, np.ndarray) else holder.clone()
            images, form = from_any(holder)
            images[0].pixels.fill_(0.3)
            form.to_same_kind(images)
            assert bool((holder == before).all())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 6, 7), (2, 3, 6, 7), (1, 6, 7), (4, 6, 7), (6, 7)])
def test_tensors_come_back_in_their_type(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.from_numpy(noise(*shape))
    tensor = tensor if dtype == torch.uint8 else (tensor / 255).to(dtype)
    images, form = from_any(tensor)
    assert all(image.pixels.dtype == torch.float32 for image in images)
    result = form.to_same_kind(images)
    assert (result.dtype, result.shape, result.device) == (tensor.dtype, tensor.shape, tensor.device)
    tolerance = {torch.uint8: 0, torch.bfloat16: 4e-3, torch.float16: 5e-4}.get(dtype, 2e-7)
    assert float((result.double() - tensor.double()).abs().max()) <= tolerance


def test_gradients_are_cut_and_views_accepted() -> None:
    tensor = torch.rand(3, 9, 8, requires_grad=True)
    assert not to_photo(tensor).pixels.requires_grad
    assert not there_and_back(tensor).requires_grad
    view = torch.rand(8, 9, 3).permute(2, 0, 1)[:, ::2]
    assert torch.allclose(there_and_back(view), view, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_stay_on_their_device() -> None:
    tensor = torch.rand(2, 3, 6, 7, device="cuda")
    images, form = from_any(tensor)
    assert images[0].pixels.is_cuda
    assert torch.allclose(form.to_same_kind([p.with_pixels(p.pixels.cpu()) for p in images]), tensor, atol=1e-6)


BAD: dict[str, tuple[Any, str]] = {
    "float 0..255": (np.full((6, 7, 3), 128.0), "divide by 255"),
    "float tensor 0..255": (torch.full((3, 6, 7), 200.0), "divide by 255"),
    "float -1..1": (np.linspace(-1, 1, 126).reshape(6, 7, 3), r"accepted is 0\.\.1"),
    "NaN": (np.full((6, 7, 3), np.nan), "NaN"),
    "NaN in a tensor": (torch.full((3, 6, 7), torch.nan), "NaN"),
    "one infinity": (np.where(np.arange(42).reshape(6, 7) == 5, np.inf, 0.5), "infinity"),
    "int64": (np.zeros((6, 7, 3), np.int64), r"int64.*accepted"),
    "int64 tensor": (torch.zeros(3, 6, 7, dtype=torch.int64), r"int64.*accepted"),
    "int8": (np.zeros((6, 7, 3), np.int8), r"int8.*accepted"),
    "bool": (np.zeros((6, 7), bool), r"bool.*accepted"),
    "bool tensor": (torch.zeros(3, 6, 7, dtype=torch.bool), r"bool.*accepted"),
    "complex": (np.zeros((6, 7), complex), r"complex.*accepted"),
    "objects": (np.zeros((6, 7), object), r"object.*accepted"),
    "empty batch": (torch.zeros(0, 3, 6, 7), "holds no image"),
    "empty array": (np.zeros((0, 7, 3), np.uint8), "holds no image"),
    "2 channels": (np.zeros((6, 7, 2), np.uint8), "accepted"),
    "5 channels": (np.zeros((6, 7, 5), np.uint8), "accepted"),
    "2 channels in a tensor": (torch.zeros(2, 6, 7), "accepted"),
    "5 channels in a tensor": (torch.zeros(1, 5, 6, 7), "accepted"),
    "channels last in a tensor": (torch.zeros(6, 7, 3), "permute"),
    "one axis": (np.zeros(7, np.uint8), "accepted"),
    "five axes": (np.zeros((1, 1, 6, 7, 3), np.uint8), "accepted"),
    "a list": ([noise(6, 7, 3)], "list"),
    "nothing": (None, "NoneType"),
    "a number": (np.float32(3), "accepted"),
}


@pytest.mark.parametrize(("image", "message"), BAD.values(), ids=BAD)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(ArrayError, match=message) as caught:
        from_any(image)
    assert "\n" not in str(caught.value)


def test_a_little_overshoot_is_clipped() -> None:
    array = np.array([[-0.0005, 0.5, 1.0005]])
    assert there_and_back(array).tolist() == [[0, 0.5, 1]]


def test_sizes_in_a_batch_must_agree() -> None:
    for batch in (np.zeros((2, 6, 7, 3), np.uint8), torch.zeros(2, 3, 6, 7)):
        images, form = from_any(batch)
        other = images[1].with_pixels(torch.zeros(3, 12, 14))
        with pytest.raises(ArrayError, match="different sizes"):
            form.to_same_kind([images[0], other])
        assert form.to_same_kind([other, other]).shape[0] == 2
        with pytest.raises(ArrayError, match="one image"):
            to_photo(batch)


MODES = ["L", "LA", "RGB", "RGBA", "I;16", "F", "1", "P", "CMYK", "YCbCr"]


@pytest.mark.parametrize("mode", MODES)
def test_pil_images_come_back_as_pil_images(mode: str) -> None:
    base = Image.fromarray(noise(6, 7, 4))
    image = {
        "I;16": lambda: Image.fromarray(noise(6, 7).astype(np.uint16) * 257),
        "F": lambda: Image.fromarray((noise(6, 7) / 255).astype(np.float32)),
        "P": lambda: base.convert("RGB").quantize(8),
    }.get(mode, lambda: base.convert(mode))()
    before = image.copy()
    result = there_and_back(image)
    assert result.mode == {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}.get(mode, mode)
    assert result.size == image.size
    assert (np.asarray(image) == np.asarray(before)).all()
    expected = image.convert(result.mode) if mode in ("1", "P", "CMYK", "YCbCr") else image
    np.testing.assert_allclose(np.asarray(result, float), np.asarray(expected, float), atol=1e-6)


def test_pil_images_keep_their_metadata_and_stand_upright() -> None:
    image = Image.fromarray(noise(6, 7, 3))
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    image.info.update(exif=exif.tobytes(), dpi=(72, 72))
    result = there_and_back(image)
    assert result.size == (6, 7)
    assert result.info["dpi"] == (72, 72)
    assert result.getexif().get(274) is None
    assert result.getexif()[271] == "Maker"


def test_bad_pil_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageTooLarge):
        from_any(Image.new("L", (20, 20)), max_pixels=399)
    with pytest.raises(ArrayError):
        from_any(Image.new("L", (0, 3)))
    Image.fromarray(noise(60, 70, 3)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(ImageError, match="cut short"):
        from_any(image)


def test_a_path_gives_an_image_that_saves_itself(tmp_path: Path) -> None:
    Image.fromarray(noise(6, 7, 3)).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        result = there_and_back(path)
        assert isinstance(result, Photo)
        assert there_and_back(result) is result
    result.save(tmp_path / "out.png")
    with pytest.raises(ImageError, match="no such file"):
        from_any(tmp_path / "b.png")
