"""``reknit compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reknit.cli import options
from reknit.cli.terminal import ProgressLine, print_json

if TYPE_CHECKING:
    from reknit.match.answers_apart import AnswersApart
    from reknit.match.compare import Comparison
    from reknit.match.estimates import Estimate
    from reknit.match.judging import Interval
    from reknit.match.site_by_site import SiteBySite, SiteLikeness

SHOWN = 16
"""Sites that are listed; all of them are in the page and the JSON."""


def compare(
    first: options.First,
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one of the same architecture.")],
    *,
    like: options.Skeleton,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An npz file with inputs; without it weights alone are compared."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="One number for each ReLU of A: read if it is there, else written from --data."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="How B is aligned for what needs one basis (see align), or none.")
    ] = "weights",
    example: options.Example = None,
    answers: Annotated[str | None, typer.Option(metavar="KIND", help="Read answers as classes or numbers.")] = None,
    seed: options.Seed = 0,
    report: options.Report = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> int:
    """How alike two networks are: what they compute, what they represent on the way, and their weights."""
    from reknit.match.compare import compare as run

    with ProgressLine() as show:
        found = run(
            first,
            second,
            like=like,
            data=data,
            store=store,
            method=method,
            input=example,
            answers=answers,
            seed=seed,
            report=report,
            force=force,
            progress=show.line,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    return 0


def _print(found: Comparison) -> None:
    from reknit.cli.summary import print_rows

    rows = {each.name: _answer(each) for each in found.answers} or {"answers": "not compared: there are no inputs"}
    rows["by LAFTR"] = found.no_estimate if found.estimate is None else _estimate(found.estimate, found.true)
    if found.representations is None:
        rows["layers"] = f"not compared: {found.no_representations}"
    else:
        rows |= _layers(found.representations)
    before, after = found.distance
    rows["weights"] = f"distance {before:.3g}" + ("" if after is None else f", aligned {after:.3g}")
    rows["weights"] += " (0 equal, about 1.4 unrelated)"
    turned, turned_after = found.directions
    if turned is not None:
        rows["weights"] += f"\nleading singular directions {turned:.2f}"
        rows["weights"] += ("" if turned_after is None else f", aligned {turned_after:.2f}") + " (1 agree)"
    if found.notes:
        rows["notes"] = "\n".join(found.notes)
    rows["seconds"] = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.seconds.items())
    print_rows(None, rows)


def _interval(found: Interval) -> str:
    known = found.low == found.low  # not NaN
    return f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})" if known else f"{found.value:.3g}"


def _answer(found: AnswersApart) -> str:
    parts = []
    if found.distance is not None:
        share = "" if found.share is None else f", {found.share:.3g} of both variances (1 unrelated)"
        parts.append(f"mean squared distance {_interval(found.distance)}{share}")
    if found.same is not None:
        parts.append(f"the same in {_interval(found.same)} of all cases")
    if found.divergence is not None:
        parts.append(f"Jensen-Shannon divergence {_interval(found.divergence)} nats")
    return "\n".join(parts)


def _estimate(found: Estimate, true: float | None) -> str:
    def told(value: float) -> str:
        return f"{value:.3g}" + (f", {value / true:.2f} of the true one" if true else "")

    after = "" if found.after is None else f"; aligned {told(found.after)}"
    spread = f"(the first network's answers vary by {found.spread:.3g})"
    file = f"\n{'written to' if found.written else 'read from'} {found.stored}" if found.stored else ""
    return f"from {found.numbers} stored numbers: distance {told(found.before)}{after} {spread}{file}"


def _layers(found: SiteBySite) -> dict[str, str]:
    own, asked = found.matrix.found
    head = f"{found.rows} rows; {own} of {asked} are most like their own counterpart by CKA"
    rows = {"layers": "\n".join([head, *found.notes])}
    rows |= {each.name: _layer(each) for each in found.sites[:SHOWN]}
    if len(found.sites) > SHOWN:
        rows["..."] = f"and {len(found.sites) - SHOWN} more; --report FILE.html shows all"
    return rows


def _layer(found: SiteLikeness) -> str:
    cka = "no CKA" if found.cka is None else f"CKA {_interval(found.cka)}"
    cca = "no CCA" if found.cca.value is None else f"CCA {found.cca.value:.3g} (chance {found.cca.chance:.2g})"
    if found.leading is None:
        return f"{cka}, {cca}"
    leading = f"{found.leading.rank} leading directions agree by {found.leading.agreement:.3g}"
    return f"{cka}, {cca}, {leading}" + (", but these rows do not tell which lead" if found.leading.vacuous else "")
