"""The published weights of SpliceAI under the keys of the built-in architecture."""

import json

import numpy as np
import torch


def read_splice_ai(path):
    """Keras' tensors, by the place that its graph gives them; kernels are turned from (kernel, in, out)."""
    import h5py

    with h5py.File(path) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        weights = {
            name: {
                key.removesuffix(":0"): torch.from_numpy(np.array(value)) for key, value in group.get(name, {}).items()
            }
            for name, group in file["model_weights"].items()
        }
    source = {layer["name"]: [node[0] for node in layer["inbound_nodes"][0]] for layer in layers[1:]}
    # in the order of Keras' numbers, convolutions of kernel 1 that read the stream are the stem, the skips and the head
    names = sorted((layer["name"] for layer in layers), key=lambda name: int(name.rpartition("_")[2]))
    convs = [name for name in names if name.startswith("conv1d")]
    stem, *others, head = convs
    skips = [name for name in others if weights[name]["kernel"].shape[0] == 1]
    branch = [name for name in others if name not in skips]
    norms = [name for name in names if name.startswith("batch")]
    assert source["add_1"] == [branch[1], stem]
    state = conv("stem", weights[stem]) | conv("head", weights[head])
    for number, name in enumerate(skips):
        state |= conv(f"skips.{number}", weights[name])
    for number, (norm_name, conv_name) in enumerate(zip(norms, branch, strict=True)):
        block, part = divmod(number, 2)
        place = f"stages.{block // 4}.{block % 4}"
        state |= conv(f"{place}.conv{part + 1}", weights[conv_name])
        state |= norm(f"{place}.bn{part + 1}", weights[norm_name])
    return state


def conv(place, tensors):
    return {f"{place}.weight": tensors["kernel"].permute(2, 1, 0), f"{place}.bias": tensors["bias"]}


def norm(place, tensors):
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {f"{place}.{ours}": tensors[theirs] for ours, theirs in names.items()}
