#!/usr/bin/env python3
"""Writes blocks.bin: stored blocks of every quantised type and what the PyPI package gguf makes of them, for test_decode.c.

    pip install gguf && python3 make_blocks.py ../data/blocks.bin

All numbers are little-endian. "L4BLOCKS", u32 number of types; then for each type u32 GGUF number, u32 elements and u32 bytes of a record,
u32 records that follow, u32 records that only the hash covers, u64 hash; the records' bytes, the records' float32 values.
The hashed records are words of `mix`, which the test repeats; the hash runs over the bits of the results, any NaN counting as one.
"""
import struct
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

# Type -> where a record has float16 scales. IQ1_M spreads its scale, MXFP4 has an exponent.
TYPES = {
    "F16": [], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ3_XXS": [0], "IQ1_S": [0], "IQ4_NL": [0], "IQ3_S": [0],
    "IQ2_S": [0], "IQ4_XS": [0], "IQ1_M": [], "MXFP4": [],
}
# float16: infinities, NaN, the smallest and the largest subnormal, minus zero, the largest number, a moderate one
SCALES = [0x7c00, 0xfc00, 0x7e01, 0x0001, 0x83ff, 0x8000, 0x7bff, 0x2345]
RANDOM = 5       # records of random bytes
HASHED = 4096


def mix(x):
    """SplitMix64's output function of an array of uint64."""
    x = x * np.uint64(0x9e3779b97f4a7c15) + np.uint64(0x9e3779b97f4a7c15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    return x ^ (x >> np.uint64(31))


def noise(seed, size):
    words = mix(np.arange((size + 7) // 8, dtype=np.uint64) + np.uint64(seed << 40))
    return np.frombuffer(words.astype("<u8").tobytes(), dtype=np.uint8)[:size].copy()


def set_scale(name, record, value):
    for at in TYPES[name]:
        record[at:at + 2] = value & 255, value >> 8
    if name == "IQ1_M":
        for i in range(4):
            record[49 + 2 * i] = record[49 + 2 * i] & 15 | (value >> 4 * i & 15) << 4
    if name == "MXFP4":
        record[0] = (0, 1, 2, 127, 253, 254, 255, 120)[SCALES.index(value)]


def special_records(name, number, size):
    records = [noise(number << 8 | i, size) for i in range(RANDOM)]
    records += [np.zeros(size, np.uint8), np.full(size, 255, np.uint8)]
    for i, value in enumerate(SCALES):
        record = noise(number << 8 | RANDOM + i, size)
        set_scale(name, record, value)
        records.append(record)
    return np.stack(records)


def bits_of(records, kind):
    bits = quants.dequantize(records, kind).astype("<f4").view("<u4").reshape(-1)
    return np.where((bits & 0x7fffffff) > 0x7f800000, np.uint32(0x7fc00000), bits)


def write_type(out, name):
    kind = GGMLQuantizationType[name]
    number, (elements, size) = int(kind), GGML_QUANT_SIZES[kind]
    if elements == 1:
        elements, size = 32, 32 * size
    records = special_records(name, number, size)
    hashed = noise(number << 8 | 255, HASHED * size).reshape(HASHED, size)
    bits = bits_of(hashed, kind).astype(np.uint64)
    digest = int(np.sum(mix(bits | np.arange(bits.size, dtype=np.uint64) << np.uint64(32)), dtype=np.uint64))
    out.write(struct.pack("<5IQ", number, elements, size, len(records), HASHED, digest))
    out.write(records.tobytes())
    out.write(bits_of(records, kind).astype("<u4").tobytes())


def main():
    np.seterr(all="ignore")
    with open(sys.argv[1], "wb") as out:
        out.write(b"L4BLOCKS" + struct.pack("<I", len(TYPES)))
        for name in TYPES:
            write_type(out, name)


main()
