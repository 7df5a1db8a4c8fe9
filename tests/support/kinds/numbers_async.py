"""Returns what numpy calculates with."""


async def handle(payload):
    import numpy as np

    return {
        "scalars": [
            np.int64(3),
            {"deep": np.float32(1.5), np.int8(7): np.bool_(True)},
            np.array(4),
            np.float64(2),
        ],
        "array": {"x": [np.int64(1), np.arange(3)]},
        "huge": np.array([2**70], dtype=object)[0],
        "point": np.complex64(1),
    }[payload]
