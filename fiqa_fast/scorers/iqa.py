"""General image quality methods, the baselines of the field, through libraries that offer them.

They look at the crop's pixels alone: no recognition network runs (`NoNetwork`). The libraries are
optional; a missing one is named when the scorer is made.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fiqa_fast.backbones.families import none
from fiqa_fast.backbones.forward_pass import ForwardPass
from fiqa_fast.errors import ImageError, InvalidArgumentError, UnavailableError, WeightsError
from fiqa_fast.scorers.base import Scorer, ScorerOptions, ScorerSpec
from fiqa_fast.types import CROP_SIZE_PX, FailureReason
from fiqa_fast.weights.packaged import read_checked


class IqaScorer(Scorer):
    """A method of a library, on the aligned crop as it is.

    A subclass gives `spec`, makes `library` in `_set_up`, and measures in `_measure`.

    Attributes:
        library: the imported library; its version stands among the parameters of every score.
    """

    library: Any
    runs_fused = False

    @property
    def engine(self) -> str:
        """The libraries compute with torch."""
        return "torch"

    def _check_backbone(self) -> None:
        if self.backbone.spec.name != none.SPEC.name:
            raise InvalidArgumentError(
                f"{self.spec.name}: expected the network {none.SPEC.name}, since the method uses"
                f" none, got {self.backbone.spec.name}; give backbone={none.SPEC.name!r}"
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """The method's own parameters, and the library that computes it."""
        library = f"{self.library.__name__} {self.library.__version__}"
        return {**super().parameters, "library": library}

    def why_no_graph(self) -> str:
        """The library is a program, not a network."""
        return f"{self.library.__name__} computes it"

    @torch.no_grad()
    def _evaluate(
        self, forward: ForwardPass, outputs: Sequence[str], noise: Tensor | None
    ) -> Mapping[str, Tensor]:
        images = forward.crops.to(self.backbone.device, torch.float32) / 255
        try:
            scores = self._measure(images)
        except Exception as error:  # each library has exceptions of its own, for a blank crop too
            raise ImageError(
                FailureReason.SCORING_FAILED,
                f"{self.spec.name}: expected {self.library.__name__} to measure the crop, got"
                f" {type(error).__name__}: {error}; look at the crop",
            ) from error
        if scores.numel() != len(images) or not scores.isfinite().all():
            raise ImageError(
                FailureReason.SCORING_FAILED,
                f"{self.spec.name}: expected one finite number for each crop from"
                f" {self.library.__name__}, got {scores.flatten().tolist()}; look at the crop",
            )
        return {"score": scores.reshape(len(images))}

    @abstractmethod
    def _measure(self, images: Tensor) -> Tensor:
        """float32 RGB [n, 3, 112, 112], range 0..1, on the scorer's device -> n numbers."""


class Brisque(IqaScorer):
    """Natural scene statistics. Lower is better; about 0..100.

    Mittal, Moorthy, Bovik, "No-Reference Image Quality Assessment in the Spatial Domain" (IEEE TIP
    2012), by the library piq (Apache-2.0), whose support vectors are fetched from its release page
    when they are first used. A blank crop has no statistics, and fails.
    """

    spec = ScorerSpec(
        name="brisque",
        title="BRISQUE",
        paper='Mittal et al., "No-Reference Image Quality Assessment in the Spatial Domain", IEEE'
        " TIP 2012",
        outputs=("score",),
        default_output="score",
        higher_is_better=False,
        needs=("the package piq",),
        variants=(),
        precisions=("float32",),
        networks=(none.SPEC.name,),
        weights="fetched by the package piq",
        licence="Apache-2.0",
        proof="library",
    )

    def _set_up(self) -> None:
        self.library = import_library("brisque", "piq", "pip install piq")
        # Any picture will do to learn now, not at the first face, whether the weights are there.
        generator = torch.Generator().manual_seed(0)
        size = (1, 3, CROP_SIZE_PX, CROP_SIZE_PX)
        try:
            self._measure(torch.rand(size, generator=generator).to(self.backbone.device))
        except Exception as error:  # of the network, of the file, of the library
            raise UnavailableError(
                "brisque: expected piq's weights brisque_svm_weights.pt, got"
                f" {type(error).__name__}: {error}; piq fetches them at the first use: use it once"
                f" online, or put the file into {torch.hub.get_dir()}/checkpoints"
            ) from error

    def _measure(self, images: Tensor) -> Tensor:
        scores: Tensor = self.library.brisque(images, data_range=1.0, reduction="none")
        return scores


class DeepIqa(IqaScorer):
    """Deep features of patches. Higher is better.

    Bosse, Maniry, Müller, Wiegand, Samek, "Deep Neural Networks for No-Reference and Full-Reference
    Image Quality Assessment" (IEEE TIP 2018), by the metric wadiqam_nr of the library pyiqa. It is
    the library's own training, not the authors'. The library's licence forbids commercial use, so
    only whoever installs it has the method; it fetches its weights at the first use.
    """

    metric = "wadiqam_nr"
    spec = ScorerSpec(
        name="deepiqa",
        title="DeepIQA (WaDIQaM-NR)",
        paper='Bosse et al., "Deep Neural Networks for No-Reference and Full-Reference Image'
        ' Quality Assessment", IEEE TIP 2018',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("the package pyiqa",),
        variants=(),
        precisions=("float32",),
        networks=(none.SPEC.name,),
        weights="fetched by the package pyiqa",
        licence="non-commercial",
        proof="library",
    )

    def _set_up(self) -> None:
        remedy = "pip install pyiqa (its licence forbids commercial use)"
        self.library = import_library("deepiqa", "pyiqa", remedy)
        try:
            self._network = self.library.create_metric(self.metric, device=self.backbone.device)
        except Exception as error:  # of the network, of the file, of the library
            raise UnavailableError(
                f"deepiqa: expected pyiqa to make the metric {self.metric}, got"
                f" {type(error).__name__}: {error}; pyiqa fetches its weights at the first use:"
                " use it once online"
            ) from error
        if self._network.lower_better:
            raise UnavailableError(
                f"deepiqa: expected a version of pyiqa whose {self.metric} is better when higher,"
                f" got {self.library.__version__}; install another version"
            )

    def _measure(self, images: Tensor) -> Tensor:
        # Versions before 0.1.12 draw patches at random: the same ones for every crop, then.
        cuda = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(cuda):
            torch.manual_seed(0)
            scores: Tensor = self._network(images)
        return scores


@dataclass(frozen=True)
class RankIqaOptions(ScorerOptions):
    """Parameters of RankIQA.

    Attributes:
        model: path of the network as an ONNX file. Required: no library offers it.
    """

    model: str | None = None


class RankIqa(IqaScorer):
    """A network that learned to rank distorted images. Higher is better.

    Liu, van de Weijer, Bagdanov, "RankIQA: Learning from Rankings for No-Reference Image Quality
    Assessment" (ICCV 2017). No library offers it, so the network is the user's own ONNX export, run
    by onnxruntime. Its only input is float32 RGB [N, 3, 112, 112] (or of free size) in 0..1, its
    first output has one number for each image, higher is better; subtraction of means, another
    colour order, resizing and a change of sign belong into the export.
    """

    spec = ScorerSpec(
        name="rankiqa",
        title="RankIQA",
        paper='Liu et al., "RankIQA: Learning from Rankings for No-Reference Image Quality'
        ' Assessment", ICCV 2017',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("the package onnxruntime", "the network as an ONNX file (option model)"),
        variants=(),
        precisions=("float32",),
        networks=(none.SPEC.name,),
        weights="an ONNX export of the network (option model)",
        licence="that of the file",
        proof="library",
    )
    options_type = RankIqaOptions
    options: RankIqaOptions

    def _set_up(self) -> None:
        self.library = import_library("rankiqa", "onnxruntime", "pip install onnxruntime")
        if self.options.model is None:
            raise WeightsError(
                "rankiqa: expected the option model, the path of the network as an ONNX file, got"
                " none; export it with torch.onnx.export"
            )
        provider = "CUDAExecutionProvider" if self._on_cuda else "CPUExecutionProvider"
        if provider not in self.library.get_available_providers():
            raise UnavailableError(
                f"rankiqa: expected onnxruntime with the {provider} for {self.backbone.device}, got"
                " one without; install onnxruntime-gpu, or use device='cpu'"
            )
        content, self._model_sha256 = read_checked(Path(self.options.model))
        try:
            index = {"device_id": self.backbone.device.index} if self._on_cuda else {}
            self._session = self.library.InferenceSession(content, providers=[(provider, index)])
        except Exception as error:  # onnxruntime has an exception for each kind of damage
            raise WeightsError(
                f"rankiqa: expected an ONNX file, got {self.options.model}, which onnxruntime"
                f" cannot load ({type(error).__name__}: {error}); export it again"
            ) from error
        if self._session.get_providers()[0] != provider:
            raise UnavailableError(
                f"rankiqa: expected onnxruntime to run on {self.backbone.device}, got"
                f" {self._session.get_providers()[0]}; its CUDA libraries do not load here: use"
                " device='cpu'"
            )
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise WeightsError(
                "rankiqa: expected a network with one float32 input, got"
                f" {[(i.name, i.type) for i in inputs]} in {self.options.model}; export it so"
            )

    @property
    def engine(self) -> str:
        """onnxruntime runs the network."""
        return "onnxruntime"

    @property
    def _on_cuda(self) -> bool:
        return self.backbone.device.type == "cuda"

    @property
    def parameters(self) -> dict[str, Any]:
        """The library, and the model's digest in place of its path."""
        given = {k: v for k, v in super().parameters.items() if k != "model"}
        return {**given, "model_sha256": self._model_sha256}

    def _measure(self, images: Tensor) -> Tensor:
        name = self._session.get_inputs()[0].name
        scores = self._session.run(None, {name: images.cpu().numpy()})[0]
        return torch.from_numpy(scores).to(images)


def import_library(method: str, name: str, remedy: str) -> Any:
    """Imports a library that only this method needs.

    Raises:
        UnavailableError: it is not installed, or does not work here; the message says what to do.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise UnavailableError(
                f"{method}: expected the package {name} with all that it needs, got none of"
                f" {error.name}; run {remedy}"
            ) from error
        raise UnavailableError(
            f"{method}: expected the package {name}, got none installed; run {remedy}"
        ) from error
    except Exception as error:  # built for another version of torch, for example
        raise UnavailableError(
            f"{method}: expected a package {name} that works here, got {type(error).__name__}:"
            f" {error}; install versions of it and of torch that fit together"
        ) from error
