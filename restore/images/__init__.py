"""Files, PIL images, arrays and tensors to `Photo` and back: the only place where pixels are converted.

`read` and `write` speak files, `from_any` and `Form.to_same_kind` speak whatever a caller holds, `list_images` turns
what was typed into paths and `side_by_side` draws a comparison. Inside, what knows more stands on what knows less:
`raster` (pixels and facts, no files) < `encoding`, `write` < `image` (a raster that saves itself) < `read`, `forms`.
What happens to each kind of image:

=========================  ==========================================================================================
8 and 16 bit               the same depth comes back where the format can (16 bit: PNG and TIFF), else 8 bit
1 bit, palette             8-bit gray or colour comes back; a palette of grays alone is gray
32-bit integers            0..255 is taken as 8 bit, 0..65535 as 16 bit, more as a fraction of the full 32 bits (16 out)
float TIFF, 16 to 64 bit   0..1 as it is; up to 255 or 65535 in these units; NaN, infinity and all else is refused
gray                       three equal channels inside; Rec. 601 luma of the restored colours comes back
alpha                      never restored, kept beside; over white where the format of the output has no alpha
colour under alpha 0       replaced by the colours around it, so that nothing sees it, and put back in lossless files
CMYK, Lab                  become sRGB (through the profile of the file, when it has one)
ICC profile                kept, the pixels are not touched; a broken or unfitting one is ignored with a warning
EXIF orientation           applied to the pixels, then removed; the rest of EXIF is kept, garbage is ignored
animations, pages          the first one, with a warning; above 1000 frames or 100 pages the file is refused
lossless, chroma, quality  as in the source, the quality at least 95, unless the caller says otherwise
JPEG 2000, TGA             read; colours of more than 8 bits become 8, with a warning
HEIC, raw files            read where the extras `heif` and `raw` are installed; raw becomes 16-bit sRGB
damage, missing pixels     refused: nothing is filled with gray or black
=========================  ==========================================================================================
"""

from __future__ import annotations

from restore.images.compare import side_by_side
from restore.images.forms import Form, from_any, to_photo
from restore.images.listing import IMAGE_SUFFIXES, list_images, namesake, namesakes, passed_over
from restore.images.notices import ImageWarning, warn
from restore.images.photo import Photo
from restore.images.probe import open_file
from restore.images.raster import Encoding, Metadata, Raster
from restore.images.read import MAX_PIXELS, peek, read
from restore.images.write import WRITABLE, check_encoding, refuse_inputs, write

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "WRITABLE",
    "Encoding",
    "Form",
    "ImageWarning",
    "Metadata",
    "Photo",
    "Raster",
    "check_encoding",
    "from_any",
    "list_images",
    "namesake",
    "namesakes",
    "open_file",
    "passed_over",
    "peek",
    "read",
    "refuse_inputs",
    "side_by_side",
    "to_photo",
    "warn",
    "write",
]
