"""The covering array and its seeds, drawn by make_cells before the first run; not to be touched."""

CELLS = [
    (
        {"blocks": 8, "width": 16, "hidden": 32, "activation": "relu", "norm": "rms", "epochs": 20, "data": "diabetes"},
        [9685, 8201, 8368, 8826, 6530],
    ),
    (
        {"blocks": 8, "width": 64, "hidden": 128, "activation": "gelu", "norm": "none", "epochs": 1, "data": "digits"},
        [6517, 9875, 8727, 4264, 4518],
    ),
    (
        {"blocks": 8, "width": 128, "hidden": 128, "activation": "silu", "norm": "rms", "epochs": 0, "data": "digits"},
        [7929, 9336, 6110, 4821, 1086],
    ),
    (
        {
            "blocks": 8,
            "width": 128,
            "hidden": 256,
            "activation": "tanh",
            "norm": "layer",
            "epochs": 4,
            "data": "friedman",
        },
        [2429, 3200, 4397, 4292, 9213],
    ),
    (
        {
            "blocks": 24,
            "width": 16,
            "hidden": 16,
            "activation": "silu",
            "norm": "layer",
            "epochs": 1,
            "data": "friedman",
        },
        [9633, 7610, 5731, 1796, 6257],
    ),
    (
        {"blocks": 24, "width": 16, "hidden": 16, "activation": "tanh", "norm": "rms", "epochs": 4, "data": "friedman"},
        [4455, 7322, 8139, 6630, 4314],
    ),
    (
        {
            "blocks": 24,
            "width": 64,
            "hidden": 128,
            "activation": "tanh",
            "norm": "rms",
            "epochs": 0,
            "data": "diabetes",
        },
        [7549, 3968, 8023, 5422, 4282],
    ),
    (
        {
            "blocks": 24,
            "width": 64,
            "hidden": 128,
            "activation": "gelu",
            "norm": "rms",
            "epochs": 20,
            "data": "friedman",
        },
        [3164, 8616, 2527, 1563, 6590],
    ),
    (
        {
            "blocks": 24,
            "width": 128,
            "hidden": 256,
            "activation": "relu",
            "norm": "none",
            "epochs": 0,
            "data": "digits",
        },
        [6031, 3912, 9095, 9543, 3381],
    ),
    (
        {
            "blocks": 48,
            "width": 16,
            "hidden": 16,
            "activation": "gelu",
            "norm": "layer",
            "epochs": 0,
            "data": "friedman",
        },
        [8244, 2398, 8754, 1246, 5992],
    ),
    (
        {
            "blocks": 48,
            "width": 16,
            "hidden": 32,
            "activation": "silu",
            "norm": "none",
            "epochs": 4,
            "data": "diabetes",
        },
        [4057, 3908, 2085, 4048, 6788],
    ),
    (
        {"blocks": 48, "width": 64, "hidden": 64, "activation": "relu", "norm": "none", "epochs": 4, "data": "digits"},
        [4925, 4586, 8584, 8179, 9991],
    ),
    (
        {
            "blocks": 48,
            "width": 64,
            "hidden": 64,
            "activation": "silu",
            "norm": "layer",
            "epochs": 20,
            "data": "digits",
        },
        [1521, 4846, 4722, 7540, 2932],
    ),
    (
        {
            "blocks": 48,
            "width": 128,
            "hidden": 256,
            "activation": "tanh",
            "norm": "rms",
            "epochs": 1,
            "data": "diabetes",
        },
        [4675, 7518, 3379, 2269, 6966],
    ),
    (
        {"blocks": 96, "width": 16, "hidden": 16, "activation": "tanh", "norm": "none", "epochs": 20, "data": "digits"},
        [6440, 6027, 8903, 6236, 7689],
    ),
    (
        {
            "blocks": 96,
            "width": 64,
            "hidden": 64,
            "activation": "relu",
            "norm": "layer",
            "epochs": 1,
            "data": "diabetes",
        },
        [8973, 9355, 8314, 3220, 7715],
    ),
    (
        {
            "blocks": 96,
            "width": 128,
            "hidden": 256,
            "activation": "relu",
            "norm": "none",
            "epochs": 0,
            "data": "friedman",
        },
        [4491, 7575, 1503, 4441, 3913],
    ),
    (
        {
            "blocks": 96,
            "width": 128,
            "hidden": 128,
            "activation": "gelu",
            "norm": "rms",
            "epochs": 4,
            "data": "diabetes",
        },
        [7524, 8050, 3697, 5260, 4253],
    ),
    (
        {
            "blocks": 96,
            "width": 128,
            "hidden": 128,
            "activation": "silu",
            "norm": "rms",
            "epochs": 20,
            "data": "diabetes",
        },
        [1807, 8873, 4385, 2719, 5762],
    ),
]
