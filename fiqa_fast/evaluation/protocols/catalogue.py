"""The data sets by name: in which forms each is understood, and where it is looked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.adience import is_adience, read_adience
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.protocols.bin_file import read_bin
from fiqa_fast.evaluation.protocols.cfp import PROTOCOL_FOLDER, read_cfp
from fiqa_fast.evaluation.protocols.csv_file import read_csv
from fiqa_fast.evaluation.protocols.draw import MATED_PER_IDENTITY, NON_MATED
from fiqa_fast.evaluation.protocols.folder import read_folder
from fiqa_fast.evaluation.protocols.ijb import Benchmark, read_ijb
from fiqa_fast.evaluation.protocols.pair_list import read_pair_list

AnyProtocol = Protocol | TemplateProtocol


@dataclass(frozen=True)
class Drawing:
    """How comparisons are drawn where the data set is a folder of identities.

    Attributes:
        mated_per_identity: see `draw_comparisons`.
        non_mated: see `draw_comparisons`.
        seed: of the draws.
    """

    mated_per_identity: int = MATED_PER_IDENTITY
    non_mated: int = NON_MATED
    seed: int = 0


@dataclass(frozen=True)
class Form:
    """One form of a data set.

    Attributes:
        path: of the file or folder, below the root of the data.
        content: what it holds, in words.
        read: reads it.
    """

    path: str
    content: str
    read: Callable[[Path, Drawing], AnyProtocol]


@dataclass(frozen=True)
class DataSet:
    """A data set that is known by name.

    Attributes:
        name: as papers write it.
        obtained: where it officially comes from, in words.
        forms: in the order in which they are looked for.
    """

    name: str
    obtained: str
    forms: tuple[Form, ...]


def _bin(path: str, name: str) -> Form:
    content = "InsightFace's verification file of aligned crops"
    return Form(path, content, lambda found, _: read_bin(found, name=name))


def _list(path: str, name: str, images: str, *, aligned: bool = False) -> Form:
    """A pair list; images lie beside it or in a folder beside it, or in the folder `images`."""

    def read(found: Path, _: Drawing) -> AnyProtocol:
        root = found.parent / images if images else None
        return read_pair_list(found, image_root=root, name=name, aligned=aligned)

    where = f"the folder {images!r} beside it" if images else "its folder or a folder beside it"
    return Form(path, f"the list of pairs, with the images in {where}", read)


def _folder(path: str, name: str) -> Form:
    def read(found: Path, drawing: Drawing) -> AnyProtocol:
        return read_folder(found, name=name, **vars(drawing))

    return Form(path, "a folder of images for each person", read)


def _adience(path: str) -> Form:
    def read(found: Path, drawing: Drawing) -> AnyProtocol:
        if is_adience(found):
            return read_adience(found, **vars(drawing))
        return read_folder(found, name="Adience", **vars(drawing))

    return Form(path, "the release's albums, or a folder of images for each person", read)


def _cfp(path: str) -> Form:
    return Form(path, "the release, with Protocol and Data", lambda found, _: read_cfp(found))


def _ijb(path: str, benchmark: Benchmark) -> Form:
    content = "the folders meta and loose_crop of InsightFace's package"
    return Form(path, content, lambda found, _: read_ijb(found, benchmark))


_INSIGHTFACE = "the validation sets that come with InsightFace's training data"

DATA_SETS = (
    DataSet(
        "LFW",
        f"the University of Massachusetts, Labeled Faces in the Wild (images and pairs.txt), or"
        f" {_INSIGHTFACE}",
        (_bin("lfw.bin", "LFW"), _list("lfw/pairs.txt", "LFW", "")),
    ),
    DataSet(
        "CFP-FP",
        f"the authors of Celebrities in Frontal-Profile (CFP), or {_INSIGHTFACE}",
        (_bin("cfp_fp.bin", "CFP-FP"), _cfp("cfp-dataset"), _cfp("cfp")),
    ),
    DataSet(
        "AgeDB-30",
        f"the authors of AgeDB at Imperial College London, on request, or {_INSIGHTFACE}",
        (_bin("agedb_30.bin", "AgeDB-30"), _list("agedb_30/pairs.txt", "AgeDB-30", "")),
    ),
    DataSet(
        "CALFW",
        f"the authors of Cross-Age LFW at Beijing University of Posts and Telecommunications, or"
        f" {_INSIGHTFACE}",
        (
            _bin("calfw.bin", "CALFW"),
            _list("calfw/pairs_CALFW.txt", "CALFW", "aligned images", aligned=True),
        ),
    ),
    DataSet(
        "CPLFW",
        f"the authors of Cross-Pose LFW at Beijing University of Posts and Telecommunications, or"
        f" {_INSIGHTFACE}",
        (
            _bin("cplfw.bin", "CPLFW"),
            _list("cplfw/pairs_CPLFW.txt", "CPLFW", "aligned images", aligned=True),
        ),
    ),
    DataSet(
        "XQLFW",
        "the authors of Cross-Quality LFW at the Technical University of Munich",
        (_bin("xqlfw.bin", "XQLFW"), _list("xqlfw/xqlfw_pairs.txt", "XQLFW", "")),
    ),
    DataSet(
        "Adience",
        "the Open University of Israel, on request (Unfiltered faces for gender and age)",
        (_adience("adience/aligned"), _adience("adience/faces"), _adience("adience")),
    ),
    DataSet(
        "IJB-B",
        "NIST, on request (Janus), prepared as InsightFace's evaluation of IJB takes it",
        (_ijb("IJBB", "ijbb"), _ijb("ijbb", "ijbb")),
    ),
    DataSet(
        "IJB-C",
        "NIST, on request (Janus), prepared as InsightFace's evaluation of IJB takes it",
        (_ijb("IJBC", "ijbc"), _ijb("ijbc", "ijbc")),
    ),
    DataSet(
        "VGGFace2",
        "the Visual Geometry Group of the University of Oxford, which has withdrawn it; whoever has"
        " it uses the test part",
        (_folder("vggface2/test", "VGGFace2"), _folder("VGG-Face2/data/test", "VGGFace2")),
    ),
)
"""The data sets that `load_protocol` knows by name."""


def load_protocol(
    name_or_path: str | Path,
    data_root: str | Path | None = None,
    *,
    aligned: bool | None = None,
    drawing: Drawing | None = None,
) -> AnyProtocol:
    """Loads a data set.

    A path is a `.bin` file, a `.csv` file (see `read_csv`), a list of pairs (any other file, see
    `read_pair_list`), or a folder: IJB-B or IJB-C (it has `meta`), CFP (it has `Protocol`), Adience
    (by the names of its files), else a sub-folder for each identity.

    Args:
        name_or_path: one of `DATA_SETS`, whatever the case and without regard to hyphens; or a
            path. A file or folder in the current folder with the name of a data set is "./lfw".
        data_root: the folder of the data, for a data set by name; for CSV files and lists by path,
            the folder in which names of samples are paths.
        aligned: whether the images are aligned crops; None: as usual for the form.
        drawing: how comparisons of folders are drawn; None: the defaults.

    Raises:
        InvalidArgumentError: an unknown name; the data set is not there (the message says what to
            put where); or it is, and is damaged or makes no sense.
    """
    drawing = drawing or Drawing()
    known = {_key(data_set.name): data_set for data_set in DATA_SETS}
    if isinstance(name_or_path, str) and "/" not in name_or_path and _key(name_or_path) in known:
        protocol = _load_known(known[_key(name_or_path)], data_root, drawing)
    else:
        protocol = _load_path(Path(name_or_path), data_root, drawing)
    return protocol if aligned is None else replace(protocol, aligned=aligned)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def _load_known(data_set: DataSet, data_root: str | Path | None, drawing: Drawing) -> AnyProtocol:
    found = [
        f for f in data_set.forms if data_root is not None and Path(data_root, f.path).exists()
    ]
    if data_root is None or not found:
        root = Path("DATA_ROOT") if data_root is None else Path(data_root)
        forms = "; or ".join(f"{root / form.path} ({form.content})" for form in data_set.forms)
        lack = "no data_root" if data_root is None else "none of them"
        raise InvalidArgumentError(
            f"{data_set.name}: expected {forms}, got {lack}; put one of them there. It comes from"
            f" {data_set.obtained}"
        )
    return found[0].read(Path(data_root, found[0].path), drawing)


def _load_path(path: Path, image_root: str | Path | None, drawing: Drawing) -> AnyProtocol:
    if not path.exists():
        names = ", ".join(data_set.name for data_set in DATA_SETS)
        raise InvalidArgumentError(
            f"protocol: expected a data set ({names}) or the path of a .bin, .csv or .txt file or"
            f" of a folder, got {str(path)!r}, which is neither; correct it"
        )
    if path.is_dir():
        return _load_folder(path, drawing)
    match path.suffix.lower():
        case ".bin":
            return read_bin(path)
        case ".csv":
            return read_csv(path, image_root=image_root)
        case _:
            return read_pair_list(path, image_root=image_root)


def _load_folder(path: Path, drawing: Drawing) -> AnyProtocol:
    if (path / PROTOCOL_FOLDER / "Pair_list_F.txt").exists():
        return read_cfp(path)
    benchmarks: tuple[Benchmark, ...] = ("ijbc", "ijbb")
    for benchmark in benchmarks:
        if (path / "meta" / f"{benchmark}_face_tid_mid.txt").exists():
            return read_ijb(path, benchmark)
    if is_adience(path):
        return read_adience(path, **vars(drawing))
    return read_folder(path, **vars(drawing))
