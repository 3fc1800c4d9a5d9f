"""Images tiled into one picture and saved; numpy and Pillow only."""

from pathlib import Path

import numpy as np
from PIL import Image

from shared.files import written_whole
from shared.flags import require


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture of images row by row; an incomplete last row is filled up with black.

    Args:
        images: [number, height, width, channels], 1 or 3 channels, in [0, 1]; values outside are clipped.
        columns: images in a row, at least 1.
    Returns:
        uint8 [rows * height, columns * width, channels].
    Raises:
        UserError: no images, another shape, or columns below 1.
    """
    images = np.asarray(images)
    require(images.ndim == 4 and images.shape[3] in (1, 3) and len(images) > 0,
            f"images: expected [number, height, width, 1 or 3], at least one; got shape {images.shape}")  # fmt: skip
    require(columns >= 1, f"columns: expected at least 1; got {columns}")
    number, height, width, channels = images.shape
    rows = -(-number // columns)
    blank = np.zeros([rows * columns - number, height, width, channels], images.dtype)
    cells = np.concatenate([images, blank]).reshape([rows, columns, height, width, channels])
    picture = cells.transpose(0, 2, 1, 3, 4).reshape([rows * height, columns * width, channels])
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def save(picture: np.ndarray, path: Path) -> None:
    """Writes a picture, uint8 [height, width, 1 or 3], as the file that the path's ending names; makes its folder.

    The file appears whole or not at all: it is written under another name and then renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial, partial.open("wb") as file:
        Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(file, path.suffix[1:])
