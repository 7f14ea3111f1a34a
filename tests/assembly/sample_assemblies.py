"""Made-up assemblies that look like real ones, for the tests of the page: no network is run."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from reknit.assembly.result import Assembly, Evidence, Move, Pair, Residual, Step
from reknit.network.spec import ResidualSpec


def _scores(rng, n, strength):
    scores = rng.standard_normal((n, n))
    scores[np.diag_indices(n)] = strength + 1.2 * rng.standard_normal(n)
    return scores


def _margins(scores):
    n = len(scores)
    if n == 1:
        return [float("inf")]
    rivals = np.where(np.eye(n, dtype=bool), -np.inf, scores)
    best = np.maximum(rivals.max(axis=0), rivals.max(axis=1))
    return [float(m) for m in np.diag(scores) - best]


def _run(rng, pieces, start="seriation"):
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in pieces}
    return {
        "version": "0.1.0",
        "command": ["reknit", "assemble", "pieces of mine", "--data", "data.csv", "--report", "report.html"],
        "method": "commutator",
        "start": start,
        "seed": 0,
        "threads": 2,
        "rows": None,
        "data": {"path": "data.csv", "sha256": hashlib.sha256(b"data").hexdigest(), "inputs": 48, "target": ["pred"]},
        "pieces": digests,
        "libraries": {"python": "3.11.2", "numpy": "2.4.0", "scipy": "1.17.0"},
    }


def make(
    blocks=48,
    *,
    verdict="exact",
    reason="All 10 000 rows lie within the tolerance, and all 3 337 moves are rejected.",
    errors=(0.59, 0.31, 0.043, 6.1e-3, 4.4e-4, 2.2e-6, 3.4e-13),
    inversions=(None, 24, 17, 9, 4, 1, 0),
    stages=("pair", "start", "order", "order", "order", "order", "mend"),
    undecided=(),
    strength=9.0,
    seed=0,
    outputs=1,
):
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(2 * blocks + 1)
    order = tuple(f"piece_{k}" for k in numbers)
    scores = _scores(rng, blocks, strength)
    pairs = tuple(
        Pair(order[2 * k], order[2 * k + 1], margin) for k, margin in enumerate(_margins(scores) if blocks else [])
    )
    branch = 0.12 + 0.25 * np.linspace(0, 1, blocks) ** 2 * rng.uniform(0.7, 1.3, blocks)
    stream = np.sqrt(0.95 + np.concatenate([[0], np.cumsum(1.8 * branch**2)]))
    kinds = {"swap": blocks - 1, "insertion": (blocks - 1) * (blocks - 2), "exchange": blocks * (blocks - 1) // 2}
    steps = tuple(
        Step(stage, mse, 512 if k < len(errors) - 1 else 10000, wrong, 0.03 * (k + 1))
        for k, (stage, mse, wrong) in enumerate(zip(stages, errors, inversions, strict=True))
    )
    spec = ResidualSpec(blocks, 48, 96, outputs)
    return Assembly(
        verdict=verdict,
        reason=reason,
        order=order,
        pairs=pairs,
        undecided=tuple(undecided),
        residual=Residual(errors[-1], 4.1e-6, 10000, 1.9e-5, 2.8e-13, 0.94),
        seconds={"read": 0.081, "pair": 0.0064, "order": 0.22, "verify": 0.31},
        spec=spec,
        tensors={"head.weight": np.zeros((outputs, 48), np.float32)},
        evidence=Evidence(
            pair_scores=scores,
            stream_rms=tuple(map(float, stream)),
            branch_rms=tuple(map(float, branch)),
            steps=steps,
            moves=kinds,
            rejected_z={"swap": 14.2, "insertion": 11.7, "exchange": 38.9} if blocks > 1 else {},
            level=6.0,
            tried=(("relu, none", errors[-1]), ("gelu, none", 0.0213), ("silu, none", 0.034), ("relu, layer", 0.61)),
        ),
        run=_run(rng, order),
    )


def exact():
    return make()


def ambiguous():
    base = make(24, verdict="ambiguous", seed=1, strength=5.5, reason="Three moves of 806 are not rejected at z = 6.")
    p = base.order
    moves = (
        Move("swap", (p[10], p[11], p[12], p[13]), 1.1e-15, 0.4),
        Move("insertion", (p[30], p[31]), -3.0e-16, -0.1),
        Move("exchange", (p[13], p[17]), 8.8e-13, 2.9),
    )
    return replace(base, undecided=moves)


def failed():
    n = 60
    falling = np.geomspace(40.0, 2.1, n - 12)
    errors = (*map(float, falling), *[2.07] * 12)
    wrong = [None, *np.linspace(2280, 180, n - 13).astype(int).tolist(), *[180] * 12]
    base = make(
        96,
        verdict="failed",
        reason="The search stands on a plateau: about 7 wrong pairs explain what is left of the error.",
        errors=errors,
        inversions=wrong,
        stages=("pair", "start", *["order"] * 36, *["mend"] * (n - 38)),
        strength=2.4,
        seed=2,
    )
    return replace(base, residual=replace(base.residual, max_abs=7.7, mse=2.07, variance=9.1))


def single():
    return make(
        1,
        errors=(3.4e-14,),
        inversions=(0,),
        stages=("pair",),
        reason="All rows lie within the tolerance; one block allows no move.",
    )


def many_outputs():
    return make(8, verdict="consistent", seed=3, outputs=10, reason="The error sits at the floor of the noise stated.")


def hostile():
    """Names and values that try to break out of the page."""
    bad = ['<script>alert("1")</script>', "</title><img src=x onerror=alert(1)>", "a\u202eb\x00\ud800", "' onload='x"]
    base = make(4, seed=4)
    names = tuple(f"{bad[k % 4]}#{k}" for k in range(9))
    pairs = tuple(Pair(names[2 * k], names[2 * k + 1], pair.margin) for k, pair in enumerate(base.pairs))
    step = Step("</svg><script>", 0.1, 5, None, 0.1)
    return replace(
        base,
        reason="<b>bold</b> & </script>",
        order=names,
        pairs=pairs,
        undecided=(Move("swap", names[:4], 0.0, 0.0),),
        run=base.run
        | {"command": "reknit <script>", "<i>key</i>": "</code><script>", "pieces": dict.fromkeys(names, "x")},
        evidence=replace(base.evidence, steps=(step, *base.evidence.steps), tried=(("<u>", 0.5),)),
    )


def empty():
    """Nothing was recorded but a verdict."""
    base = make(2, verdict="failed", reason="")
    nothing = Evidence(np.zeros((0, 0)), (), (), (), {}, {}, 6.0)
    return replace(base, order=(), pairs=(), seconds={}, evidence=nothing, run={"version": "0.1.0"})


def not_finite():
    """Every number that can be missing is."""
    nan, inf = float("nan"), float("inf")
    base = make(3, verdict="failed", seed=5)
    scores = np.array([[nan, inf, -inf], [0.0, nan, 1.0], [2.0, 3.0, 1e308]])
    steps = (Step("pair", nan, 5, None, 0.0), Step("order", inf, 5, 3, 0.1), Step("order", 0.0, 5, 0, nan))
    evidence = replace(
        base.evidence,
        pair_scores=scores,
        steps=steps,
        stream_rms=(0.0, nan, inf, 1.0),
        branch_rms=(nan, 0.0, inf),
        rejected_z={"swap": nan},
        level=nan,
        tried=(("relu, none", nan), ("gelu, none", inf)),
    )
    pairs = tuple(replace(p, margin=m) for p, m in zip(base.pairs, (nan, -inf, -0.5), strict=True))
    residual = Residual(nan, inf, 0, 0.0, 0.0, nan)
    seconds = {"read": 0.0, "order": nan}
    return replace(base, pairs=pairs, evidence=evidence, residual=residual, seconds=seconds)


def huge():
    """As many blocks as the page has to stay usable for."""
    return make(128, seed=6)


ALL = {f.__name__: f for f in (exact, ambiguous, failed, single, many_outputs, hostile, empty, not_finite, huge)}
