"""`fiqa-fast models`: what there is to choose from."""

from __future__ import annotations

from dataclasses import fields

from rich.console import Console
from rich.padding import Padding

from fiqa_fast.backbones.base import BackboneSpec
from fiqa_fast.backbones.registry import list_backbones
from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.registry import list_scorers, scorer_class


def models() -> None:
    """List methods and networks with paper, polarity, needs and licence."""
    console = Console(highlight=False)
    console.print("[bold]Methods[/bold] (--scorer)")
    for scorer in list_scorers():
        _print_entry(console, scorer.name, scorer.title, _scorer_facts(scorer))
    console.print("\n[bold]Networks[/bold] (--backbone)")
    for network in list_backbones():
        _print_entry(console, network.name, network.title, _network_facts(network))


def _scorer_facts(spec: ScorerSpec) -> dict[str, str]:
    options = scorer_class(spec.name).options_type()
    names = [f.name for f in fields(options) if f.name != "output"]
    return {
        "paper": spec.paper,
        "better": "higher" if spec.higher_is_better else "lower",
        "outputs": ", ".join(
            f"{o} (default)" if o == spec.default_output else o for o in spec.outputs
        ),
        "parameters": ", ".join(f"{name}={getattr(options, name)}" for name in names) or "none",
        "variants": ", ".join(spec.variants) or "none",
        "needs": ", ".join(spec.needs) or "nothing but an embedding",
        "precision": ", ".join(spec.precisions),
    }


def _network_facts(spec: BackboneSpec) -> dict[str, str]:
    size = spec.input_size_px
    taps = {f"tap {tap}": layer for tap, layer in spec.taps.items()}
    return {
        "input": f"{size}x{size} RGB, (pixel - {spec.pixel_mean:g}) / {spec.pixel_scale:g}",
        "embedding": f"{spec.embedding_size} numbers",
        **taps,
        "weights": spec.source,
        "licence": spec.licence,
    }


def _print_entry(console: Console, name: str, title: str, facts: dict[str, str]) -> None:
    console.print(f"\n  [bold]{name}[/bold]  {title}")
    for fact, text in facts.items():
        console.print(Padding(f"[dim]{fact + ':':<12}[/dim]{text}", (0, 0, 0, 4)))
