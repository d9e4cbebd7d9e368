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
def cluster_identities(
    embeddings: npt.NDArray[np.floating],
    inverse_norm: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    persons: npt.NDArray[np.uint64],
    clusters: int,
    plus_plus: bool,
    seed: int,
    stream: int,
    iterations: int,
    threads: int = 0,
) -> npt.NDArray[np.uint16]: ...
def compare_mated_pairs(
    embeddings: npt.NDArray[np.floating],
    inverse_norm: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    labels: npt.NDArray[np.uint16],
    clusters: int,
    quality_rank: npt.NDArray[np.uint32],
    seed: int,
    stream: int,
    repeat: int,
    threads: int = 0,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint32]]: ...
def credited_index_sums(
    cosines: npt.NDArray[np.float32],
    credited: npt.NDArray[np.uint32],
    images: int,
    threads: int = 0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
