"""Reads a checkpoint of llm.c (fp32, padded vocabulary) into the names and shapes of Hugging Face's GPT-2."""
import numpy

MAGIC, VERSION, HEADER_INTS = 20240326, 3, 256


def read_llmc(path):
    """(sizes, {name: array}); linear weights as stored, [out, in]; the padding rows are given as "padding"."""
    with open(path, "rb") as file:
        header = numpy.frombuffer(file.read(4 * HEADER_INTS), dtype="<i4")
        values = numpy.frombuffer(file.read(), dtype="<f4")
    if header[0] != MAGIC or header[1] != VERSION:
        raise ValueError(f"{path}: magic {header[0]}, version {header[1]}")
    sizes = dict(zip(("n_ctx", "vocab_size", "n_layer", "n_head", "d_model", "padded_vocab"), map(int, header[2:8])))
    layers, width = sizes["n_layer"], sizes["d_model"]
    kinds = {"ln_1.weight": (width,), "ln_1.bias": (width,),
             "attn.c_attn.weight": (3 * width, width), "attn.c_attn.bias": (3 * width,),
             "attn.c_proj.weight": (width, width), "attn.c_proj.bias": (width,),
             "ln_2.weight": (width,), "ln_2.bias": (width,),
             "mlp.c_fc.weight": (4 * width, width), "mlp.c_fc.bias": (4 * width,),
             "mlp.c_proj.weight": (width, 4 * width), "mlp.c_proj.bias": (width,)}
    place, tensors = 0, {}

    def take(shape):
        nonlocal place
        count = int(numpy.prod(shape))
        part = values[place:place + count].reshape(shape)
        place += count
        return part

    embedding = take((sizes["padded_vocab"], width))
    tensors["wte.weight"], tensors["padding"] = numpy.split(embedding, [sizes["vocab_size"]])
    tensors["wpe.weight"] = take((sizes["n_ctx"], width))
    for kind, shape in kinds.items():
        for layer, part in enumerate(take((layers, *shape))):
            tensors[f"h.{layer}.{kind}"] = part
    tensors["ln_f.weight"], tensors["ln_f.bias"] = take((width,)), take((width,))
    if place != len(values):
        raise ValueError(f"{path}: {len(values)} numbers, {place} expected")
    return sizes, tensors
