"""`fiqa-fast benchmark quality`: EDC curves of real faces, in a minute, on any machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fiqa_fast.cli.area_table import print_areas
from fiqa_fast.cli.evaluation_job import EvaluationJob
from fiqa_fast.cli.make_scorers import make_scorers
from fiqa_fast.cli.options import parse_options, parse_per_method
from fiqa_fast.cli.scoring_options import (
    AllOutputs,
    MethodOptions,
    Networks,
    Overwrite,
    Resume,
    Verify,
    WeightsFiles,
)
from fiqa_fast.cli.verification import load_networks
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.describe import describe_scores
from fiqa_fast.evaluation.inputs import EvaluationSettings, Verification
from fiqa_fast.evaluation.ladder.photographs import Photograph, find_photographs
from fiqa_fast.evaluation.ladder.protocol import ladder_protocol
from fiqa_fast.evaluation.ladder.rungs import Rung, write_ladder
from fiqa_fast.evaluation.ladder.summary import summarise_ladder
from fiqa_fast.evaluation.result import EvaluationResult
from fiqa_fast.evaluation.run import evaluate_protocol
from fiqa_fast.evaluation.similarity import cosine_of_pairs

EXAMPLES = Path(__file__).parents[2] / "examples" / "faces"
"""In a checkout of the project; an installed package has no photographs."""

CROPS = "crops"
_FMRS = (0.1, 0.01)  # fewer non-mated comparisons than the papers have
_METHODS = "grafiqs,ser-fiq,embedding-norm,froq"
_CAVEAT = (
    "A small benchmark: {photos} photographs of {people} people, each in {rungs} forms, most of"
    " them degraded on purpose. The comparisons of one photograph are not independent, and"
    " degradations made by a program are not those of cameras. It shows that a method works, not"
    " which of two good ones is better."
)


def quality(
    faces: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with a sub-folder for each person, or with photographs and"
            " identities.csv (file,identity). Default: the example photographs of the project."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the report, the scores and the crops.")
    ] = Path("results/quality"),
    scorer: Annotated[
        str, typer.Option(help="Methods, separated by commas; see `fiqa-fast models`.")
    ] = _METHODS,
    option: MethodOptions = None,
    all_outputs: AllOutputs = False,
    backbone: Networks = None,
    weights: WeightsFiles = None,
    verify: Verify = None,
    max_photos: Annotated[
        int, typer.Option(help="Of more photographs, those of the first people are taken.")
    ] = 100,
    bootstrap: Annotated[
        int, typer.Option(help="Draws of the confidence intervals; 0: none.")
    ] = 100,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure methods on a ladder of degraded faces: EDC curves, tables and a report.

    Every photograph is degraded in six ways and five levels. Each crop is compared with the clean
    crops of all other photographs, of the same person (mated) and of others (non-mated), and the
    comparisons of lowest quality are discarded.
    """
    console = Console(stderr=True, markup=False)
    if resume and overwrite:
        raise InvalidArgumentError(
            "benchmark: expected --resume or --overwrite, got both; choose one"
        )
    folder = _examples() if faces is None else faces
    photographs = _limit(find_photographs(folder), max_photos, console)
    names = [name.strip() for name in scorer.split(",") if name.strip()]
    scorers = make_scorers(
        parse_options(option or [], names),
        parse_per_method(backbone or [], names, "--backbone"),
        parse_per_method(weights or [], names, "--weights"),
    )
    networks = load_networks(verify or [])
    job = EvaluationJob(out, "resume" if resume else "overwrite" if overwrite else "new", console)

    rungs = _degrade(photographs, out / CROPS, console)
    identity_of = {photograph.name: photograph.identity for photograph in photographs}
    protocol = ladder_protocol(rungs, identity_of, out / CROPS, "degraded faces")
    asked = {"photographs": str(folder)}
    methods = job.score(protocol, scorers, out, all_outputs=all_outputs, settings=asked)
    verifications = [
        Verification(
            label,
            cosine_of_pairs(
                job.embed(protocol, network, label, "concatenate").embeddings,
                protocol.sample_a,
                protocol.sample_b,
            ),
        )
        for label, network in networks.items()
    ]
    settings = EvaluationSettings(
        fmrs=_FMRS,
        threshold_policies=("fixed",),  # the other one needs mated comparisons to the end
        missing="lowest",
        bootstrap_repeats=bootstrap,
    )
    photos = len({rung.photo for rung in rungs})
    caveat = _CAVEAT.format(
        photos=photos, people=len(set(identity_of.values())), rungs=len(rungs) // photos
    )
    parts = [
        EvaluationResult("", notes=(caveat,), ladder=tuple(summarise_ladder(rungs, methods))),
        evaluate_protocol(protocol, methods, verifications, settings, job.progress),
        describe_scores(protocol.name, methods),
    ]
    job.finish("Face image quality on degraded faces", asked, parts)
    print_areas(parts[1].curves, Console())


def _examples() -> Path:
    if not EXAMPLES.is_dir():
        raise InvalidArgumentError(
            "benchmark: expected a folder of faces, got none, and the example photographs are not"
            " installed; name a folder with a sub-folder for each person"
        )
    return EXAMPLES


def _degrade(photographs: list[Photograph], crops: Path, console: Console) -> list[Rung]:
    names = {photograph.path: photograph.name for photograph in photographs}
    with console.status("degrading the photographs"):
        rungs, left_out = write_ladder(names, crops, names)
    for sentence in left_out:
        console.print(f"left out: {sentence}", soft_wrap=True)
    return rungs


def _limit(found: list[Photograph], most: int, console: Console) -> list[Photograph]:
    """Whole people, as many as fit."""
    if len(found) <= most:
        return found
    kept: list[Photograph] = []
    for identity in dict.fromkeys(photograph.identity for photograph in found):
        of_person = [p for p in found if p.identity == identity]
        if len(kept) + len(of_person) > most:
            break
        kept += of_person
    if not kept:
        raise InvalidArgumentError(
            f"benchmark: expected --max-photos of at least the photographs of one person, got"
            f" {most}; give more"
        )
    console.print(f"taking {len(kept)} of {len(found)} photographs; see --max-photos")
    return kept
