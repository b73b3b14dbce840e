"""CDS computed from a state dict with the published names, step by step."""

import torch
from torch.nn import functional


def _shape_table(width, content):
    convolutions = {}
    for encoder in ("encoder", "encoder_assit"):
        for level in range(3):
            inner = 3 if level == 0 else width
            convolutions[f"{encoder}.conv{level}a"] = (width, inner, False)
            convolutions[f"{encoder}.conv{level}b"] = (width, width, False)
        convolutions[f"{encoder}.head0"] = (content, 3 * width, False)
        convolutions[f"{encoder}.head1"] = (content, content + 3, True)
    for stage in range(4):
        convolutions[f"decoder.up.{stage}.fusion"] = (content, 2 * content, False)
    return convolutions


def published_state(width=6, content=4, seed=0):
    """Return random weights under the published names."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random) / 3

    state = {}
    for name, (outputs, inputs, bias) in _shape_table(width, content).items():
        state[f"{name}.0.weight"] = normal(outputs, inputs, 3, 3)
        if bias:
            state[f"{name}.0.bias"] = normal(outputs)
        state[f"{name}.1.weight"] = 1 + normal(outputs) / 9
        state[f"{name}.1.bias"] = normal(outputs)
        state[f"{name}.1.running_mean"] = normal(outputs)
        state[f"{name}.1.running_var"] = 1 + normal(outputs).abs()
        state[f"{name}.1.num_batches_tracked"] = torch.tensor(5)
    for stage in range(4):
        up = f"decoder.up.{stage}.conv_up.0"
        state[f"{up}.weight"] = normal(content, content, 4, 4)
        state[f"{up}.bias"] = normal(content)
    state["MI.fc.0.weight"] = normal(content, content)
    state["MI.fc.2.weight"] = normal(content, content)
    state["head.0.weight"] = normal(9, content, 3, 3)
    state["head.0.bias"] = normal(9)
    return state


def published_association(state, image):
    """Return the published output, shape (B, 9, H, W), not masked at the border."""

    def block(name, values):
        bias = state.get(f"{name}.0.bias")
        values = functional.conv2d(values, state[f"{name}.0.weight"], bias, padding=1)
        values = functional.batch_norm(
            values,
            state[f"{name}.1.running_mean"],
            state[f"{name}.1.running_var"],
            state[f"{name}.1.weight"],
            state[f"{name}.1.bias"],
        )
        return functional.leaky_relu(values, 0.1)

    def level(number, values):
        values = block(f"encoder.conv{number}a", values)
        return block(f"encoder.conv{number}b", values)

    first = level(0, image)
    second = level(1, functional.max_pool2d(first, 3, 2, 1))
    third = level(2, functional.max_pool2d(second, 3, 2, 1))
    all_levels = torch.cat(
        [
            first,
            second.repeat_interleave(2, 2).repeat_interleave(2, 3),
            third.repeat_interleave(4, 2).repeat_interleave(4, 3),
        ],
        dim=1,
    )
    fused = block("encoder.head0", all_levels)
    features = block("encoder.head1", torch.cat([fused, image], dim=1))
    mean = features.mean(dim=(2, 3))
    hidden = (mean @ state["MI.fc.0.weight"].T).relu()
    style = (hidden @ state["MI.fc.2.weight"].T).sigmoid()[..., None, None]
    content = features * (1 - style)
    size = image.shape[2] // 16, image.shape[3] // 16
    flow = functional.interpolate(content, size=size, mode="bilinear")
    for stage in range(4):
        up = f"decoder.up.{stage}"
        flow = functional.conv_transpose2d(
            flow,
            state[f"{up}.conv_up.0.weight"],
            state[f"{up}.conv_up.0.bias"],
            stride=2,
            padding=1,
        )
        flow = functional.leaky_relu(flow, 0.1)
        seen = functional.interpolate(content, size=flow.shape[2:], mode="bilinear")
        flow = block(f"{up}.fusion", torch.cat([seen, flow], dim=1))
    logits = functional.conv2d(
        flow, state["head.0.weight"], state["head.0.bias"], padding=1
    )
    return logits.softmax(dim=1)
