#!/usr/bin/env python3
"""Writes the small files in this folder, of formats that no official file is at hand for, by other means than ours.

    make.py        (needs numpy and scipy)

svhn_*.mat   MATLAB 5 files as SVHN has them: scipy.io.savemat; picture n has (7 y + 3 x + 80 c + 11 n) mod 256 at (y, x, c)
cifar100.bin three records of CIFAR-100's binary version: struct; same values
stl10_X.bin, stl10_y.bin   two pictures of STL-10 and their labels: numpy's Fortran order; same values
"""
import gzip
import pathlib
import struct

import numpy
import scipy.io

here = pathlib.Path(__file__).resolve().parent


def picture(n, side):
    y, x, c = numpy.meshgrid(range(side), range(side), range(3), indexing="ij")
    return ((7 * y + 3 * x + 80 * c + 11 * n) % 256).astype(numpy.uint8)


pictures = numpy.stack([picture(n, 32) for n in range(4)], axis=3)
labels = numpy.array([[1], [9], [10], [5]], dtype=numpy.uint8)
# As in the official files, another variable may stand before.
first = {"about": numpy.array([[1.5, 2.5]])}
svhn = {**first, "X": pictures, "y": labels}
scipy.io.savemat(here / "svhn_train.mat", svhn, do_compression=True)
scipy.io.savemat(here / "svhn_plain.mat", svhn)
scipy.io.savemat(here / "svhn_shape.mat", {"X": pictures[..., 0], "y": labels}, do_compression=True)
scipy.io.savemat(here / "svhn_label.mat", {"X": pictures, "y": numpy.where(labels == 9, 11, labels).astype(numpy.uint8)}, do_compression=True)

with open(here / "cifar100.bin", "wb") as file:
    for n, (coarse, fine) in enumerate([(19, 99), (0, 4), (11, 98)]):
        file.write(struct.pack("BB", coarse, fine))
        for c in range(3):
            for y in range(32):
                file.write(struct.pack("32B", *((7 * y + 3 * x + 80 * c + 11 * n) % 256 for x in range(32))))

with gzip.GzipFile(here / "stl10_X.bin.gz", "wb", mtime=0) as file:
    for n in range(2):
        file.write(picture(n, 96).tobytes(order="F"))
(here / "stl10_y.bin").write_bytes(struct.pack("2B", 10, 3))
