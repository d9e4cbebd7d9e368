import numpy as np
import numpy.typing as npt

version: str
compiler: str
built_with_cuda: bool
cuda_version: str
cuda_archs: str

def align_crop(
    image: npt.NDArray[np.uint8],
    matrices: npt.NDArray[np.float64],
    size: int = 112,
    threads: int = 0,
) -> npt.NDArray[np.uint8]: ...
def philox_uniform(
    seed: int,
    stream: int,
    samples: npt.NDArray[np.uint64],
    count: int,
    threads: int = 0,
) -> npt.NDArray[np.float32]: ...
