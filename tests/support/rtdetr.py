"""An RT-DETR that is as small as Ultralytics can build it."""

TINY_RTDETR = {
    "nc": 3,
    "scales": {"n": [1.0, 1.0, 1024]},
    "backbone": [
        [-1, 1, "Conv", [16, 3, 4]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
    ],
    "head": [[[1, 2, 3], 1, "RTDETRDecoder", ["nc", 32, 20, 2, 4, 2, 32]]],
}
