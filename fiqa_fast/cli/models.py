"""`fiqa-fast models`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding

from fiqa_fast.backbones.base import BackboneSpec
from fiqa_fast.backbones.registry import list_backbones
from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.registry import list_scorers, scorer_class

_PROOFS = {
    "official": "matches official",
    "twin": "matches twin",
    "library": "adapter to a library",
}


def models(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the two tables of the README.")
    ] = False,
) -> None:
    """List methods and networks with paper, polarity, needs and licence."""
    if markdown:
        typer.echo(f"{methods_table()}\n{networks_table()}", nl=False)
        return
    console = Console(highlight=False)
    console.print("[bold]Methods[/bold] (--scorer)")
    for scorer in list_scorers():
        _print_entry(console, scorer.name, scorer.title, _scorer_facts(scorer))
    console.print("\n[bold]Networks[/bold] (--backbone)")
    for network in list_backbones():
        _print_entry(console, network.name, network.title, _network_facts(network))


def methods_table() -> str:
    """Every method as a row of a Markdown table: what it runs on, what to bring, its proof."""
    inputs = {spec.name: str(spec.input) for spec in list_backbones()}
    header = ("`--scorer`", "network", "weights", "their licence", "input", "better", "state")
    rows = [
        (
            f"`{spec.name}`",
            ", ".join(spec.networks) or " with ".join(filter(None, ["any", ", ".join(spec.needs)])),
            spec.weights,
            spec.licence,
            inputs[spec.networks[0]] if spec.networks else "the network's",
            "higher" if spec.higher_is_better else "lower",
            _PROOFS[spec.proof],
        )
        for spec in list_scorers()
    ]
    return _markdown(header, rows)


def networks_table() -> str:
    """Every network as a row of a Markdown table."""
    header = ("`--backbone`", "network", "input", "embedding", "dropout", "weights")
    rows = [
        (
            f"`{spec.name}`",
            spec.title,
            str(spec.input),
            str(spec.embedding_size or "none"),
            f"{spec.dropout:g}" if spec.dropout else "none",
            spec.source,
        )
        for spec in list_backbones()
    ]
    return _markdown(header, rows)


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


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
        "networks": ", ".join(spec.networks) or "any",
        "needs": ", ".join(spec.needs) or "nothing",
        "weights": f"{spec.weights}; licence: {spec.licence}",
        "precision": ", ".join(spec.precisions),
        "explains": ", ".join(spec.explains) or "nothing",
        "state": _PROOFS[spec.proof],
    }


def _network_facts(spec: BackboneSpec) -> dict[str, str]:
    taps = {f"tap {tap}": layer for tap, layer in spec.taps.items()}
    return {
        "input": str(spec.input),
        "embedding": f"{spec.embedding_size} numbers" if spec.embedding_size else "none",
        "dropout": f"{spec.dropout:g}" if spec.dropout else "none",
        **taps,
        "weights": spec.source,
        "licence": spec.licence,
    }


def _print_entry(console: Console, name: str, title: str, facts: dict[str, str]) -> None:
    console.print(f"\n  [bold]{name}[/bold]  {title}")
    for fact, text in facts.items():
        console.print(Padding(f"[dim]{fact + ':':<12}[/dim]{text}", (0, 0, 0, 4)))
