"""What the element types of the formats are called here, and how long they are.

Used by the parsers of dedup.formats; the names are those of dedup.values.Region.
"""

WIDTHS = {
    "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "f8e4m3": 1, "f8e5m2": 1,
    "i8": 1, "u8": 1, "i16": 2, "u16": 2, "i32": 4, "u32": 4, "i64": 8, "u64": 8,
}  # fmt: skip
"""Bytes of one element."""

SAFETENSORS = {
    "BF16": "bf16", "F16": "f16", "F32": "f32", "F64": "f64", "F8_E4M3": "f8e4m3", "F8_E5M2": "f8e5m2", "I8": "i8",
    "U8": "u8", "BOOL": "u8", "I16": "i16", "U16": "u16", "I32": "i32", "U32": "u32", "I64": "i64", "U64": "u64",
}  # fmt: skip
"""https://github.com/huggingface/safetensors, Dtype; sub-byte types are left out: their tensors have no element."""

TORCH_STORAGES = {
    "BFloat16Storage": "bf16", "HalfStorage": "f16", "FloatStorage": "f32", "DoubleStorage": "f64",
    "CharStorage": "i8", "ByteStorage": "u8", "BoolStorage": "u8", "ShortStorage": "i16", "IntStorage": "i32",
    "LongStorage": "i64", "QInt8Storage": "i8", "QUInt8Storage": "u8", "QInt32Storage": "i32",
    "ComplexFloatStorage": "f32", "ComplexDoubleStorage": "f64",
}  # fmt: skip
"""Names of torch's typed storages in a pickle; a complex number is two floats."""

TORCH_TYPES = {
    "bfloat16": "bf16", "float16": "f16", "half": "f16", "float32": "f32", "float": "f32", "float64": "f64",
    "double": "f64", "float8_e4m3fn": "f8e4m3", "float8_e4m3fnuz": "f8e4m3", "float8_e5m2": "f8e5m2",
    "float8_e5m2fnuz": "f8e5m2", "int8": "i8", "uint8": "u8", "bool": "u8", "int16": "i16", "uint16": "u16",
    "int32": "i32", "uint32": "u32", "int64": "i64", "uint64": "u64", "complex64": "f32", "complex128": "f64",
}  # fmt: skip
"""Names of torch.dtype objects in a pickle."""

NUMPY = {
    "<f2": "f16", "<f4": "f32", "<f8": "f64", "|i1": "i8", "|u1": "u8", "|b1": "u8", "<i2": "i16", "<u2": "u16",
    "<i4": "i32", "<u4": "u32", "<i8": "i64", "<u8": "u64", "<c8": "f32", "<c16": "f64", "<m8": "i64", "<M8": "i64",
}  # fmt: skip
"""Type strings of npy headers; a time unit in brackets is cut off before. Big-endian arrays have no element."""

GGML = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("", 32, 18), 3: ("", 32, 20), 6: ("", 32, 22), 7: ("", 32, 24),
    8: ("", 32, 34), 9: ("", 32, 36), 10: ("", 256, 84), 11: ("", 256, 110), 12: ("", 256, 144),
    13: ("", 256, 176), 14: ("", 256, 210), 15: ("", 256, 292), 16: ("", 256, 66), 17: ("", 256, 74),
    18: ("", 256, 98), 19: ("", 256, 50), 20: ("", 32, 18), 21: ("", 256, 110), 22: ("", 256, 82),
    23: ("", 256, 136), 24: ("i8", 1, 1), 25: ("i16", 1, 2), 26: ("i32", 1, 4), 27: ("i64", 1, 8),
    28: ("f64", 1, 8), 29: ("", 256, 56), 30: ("bf16", 1, 2), 34: ("", 256, 54), 35: ("", 256, 66),
    39: ("", 32, 17),
}  # fmt: skip
"""ggml_type -> (element, elements per block, bytes per block); https://github.com/ggml-org/ggml, ggml.h, ggml-common.h.
Quantised blocks mix scales and nibbles: they have no element."""

ONNX = {
    1: "f32", 2: "u8", 3: "i8", 4: "u16", 5: "i16", 6: "i32", 7: "i64", 9: "u8", 10: "f16", 11: "f64", 12: "u32",
    13: "u64", 14: "f32", 15: "f64", 16: "bf16", 17: "f8e4m3", 18: "f8e4m3", 19: "f8e5m2", 20: "f8e5m2",
}  # fmt: skip
"""TensorProto.DataType."""

TFLITE = {
    0: "f32", 1: "f16", 2: "i32", 3: "u8", 4: "i64", 6: "u8", 7: "i16", 8: "f32", 9: "i8", 10: "f64", 11: "f64",
    12: "u64", 15: "u32", 16: "u16", 18: "bf16",
}  # fmt: skip
"""TensorType of the TFLite schema."""


def fitting(element: str, length: int) -> str:
    """Return *element* if *length* bytes hold a whole number of them, else "" (not known)."""
    width = WIDTHS.get(element)
    return element if width is not None and length % width == 0 else ""
