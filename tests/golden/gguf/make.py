# Makes blocks.gguf (random blocks of every tensor type that is read, and metadata of every type) and blocks.json (the
# weights as the Python package gguf reads them). python3 -m venv env && env/bin/pip install gguf==0.19.0 numpy==2.4.6
import base64
import json

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

rng = np.random.default_rng(7)
writer = gguf.GGUFWriter("blocks.gguf", "none")
writer.add_uint8("k.u8", 200)
writer.add_int8("k.i8", -100)
writer.add_uint16("k.u16", 65000)
writer.add_int16("k.i16", -32000)
writer.add_uint32("k.u32", 4_000_000_000)
writer.add_int32("k.i32", -2_000_000_000)
writer.add_float32("k.f32", 1e-5)
writer.add_uint64("k.u64", 2**53)
writer.add_int64("k.i64", -(2**40))
writer.add_key_value("k.big", 2**63 + 1, gguf.GGUFValueType.UINT64)
writer.add_float64("k.f64", 0.1)
writer.add_bool("k.bool", True)
writer.add_string("k.string", "häß\ufeff\n")
writer.add_array("k.strings", ["a", "", "ü"])
writer.add_array("k.ints", [1, -2, 3])
writer.add_array("k.floats", [0.5, -0.25])
writer.add_array("k.bools", [True, False])

ROWS = 2
WIDTH = {256: 512, 32: 64, 1: 5}
# Where each type has its f16 scales; the rest of a block may be any bytes.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}
expected = {}
for kind in [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K]:
    size, width = gguf.GGML_QUANT_SIZES[kind]
    columns = WIDTH[size]
    blocks = ROWS * columns // size
    if size == 1:
        values = rng.normal(size=(ROWS, columns)).astype(np.float32)
        data = gguf.quants.quantize(values, kind)
    else:
        raw = rng.integers(0, 256, size=(blocks, width), dtype=np.uint8)
        for at in SCALES[kind]:
            raw[:, at : at + 2] = rng.normal(size=blocks).astype("<f2").view(np.uint8).reshape(blocks, 2)
        data = raw.reshape(ROWS, -1)
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    weights = gguf.quants.dequantize(data, kind).astype("<f4")
    assert weights.shape == (ROWS, columns)
    expected[kind.name] = base64.b64encode(weights.tobytes()).decode()
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
# And the other way: numbers of several sizes, and the blocks that become of them.
own = np.random.default_rng(8)
plain = (own.normal(size=(8, 64)) * np.logspace(-6, 2, 8)[:, None]).astype(np.float32)
plain[3, :32] = 0
text = lambda data: base64.b64encode(data.tobytes()).decode()
quantised = {kind.name: text(gguf.quants.quantize(plain, kind)) for kind in [T.F16, T.BF16, T.Q8_0, T.Q4_0]}
with open("blocks.json", "w") as out:
    versions = {"gguf": "0.19.0", "numpy": np.__version__}
    json.dump({"versions": versions, "f32": expected, "plain": text(plain), "quantised": quantised}, out, indent=1)
    out.write("\n")

# A llama with every type that is converted, so narrow that it is small: mixed.gguf.
writer = gguf.GGUFWriter("mixed.gguf", "llama")
writer.add_block_count(1)
writer.add_context_length(64)
writer.add_embedding_length(256)
writer.add_feed_forward_length(32)
writer.add_head_count(2)
writer.add_head_count_kv(1)
writer.add_key_length(8)
writer.add_value_length(8)
writer.add_rope_dimension_count(8)
writer.add_layer_norm_rms_eps(1e-5)
SHAPES = {
    "token_embd.weight": (48, 256, T.Q6_K), "output.weight": (48, 256, T.Q5_K),
    "blk.0.attn_q.weight": (16, 256, T.Q4_K), "blk.0.attn_k.weight": (8, 256, T.Q5_1),
    "blk.0.attn_v.weight": (8, 256, T.Q4_1), "blk.0.attn_output.weight": (256, 16, T.F16),
    "blk.0.ffn_gate.weight": (32, 256, T.Q8_0), "blk.0.ffn_up.weight": (32, 256, T.Q4_K),
    "blk.0.ffn_down.weight": (256, 32, T.Q5_0),
}
for name, (rows, columns, kind) in SHAPES.items():
    size, width = gguf.GGML_QUANT_SIZES[kind]
    if kind == T.F16:
        data = rng.normal(size=(rows, columns)).astype(np.float16)
    else:
        blocks = rows * columns // size
        raw = rng.integers(0, 256, size=(blocks, width), dtype=np.uint8)
        for at in SCALES[kind]:
            raw[:, at : at + 2] = (rng.normal(size=blocks) * 3e-4).astype("<f2").view(np.uint8).reshape(blocks, 2)
        data = raw.reshape(rows, -1)
    writer.add_tensor(name, data, raw_dtype=kind)
for name in ["output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"]:
    writer.add_tensor(name, rng.normal(1, 0.1, size=256).astype(np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
