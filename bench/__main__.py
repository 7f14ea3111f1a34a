"""``python -m bench [NAME [OPTIONS]]``: one comparison, or all of them in order."""

from __future__ import annotations

import importlib
import sys

BENCHES = (
    *("puzzle", "random_starts", "covering", "few_rows", "scaling", "precedence", "commands"),
    *("wiring", "foreign_modules", "key_mapping", "merging", "trained_plans"),
    *("sinkhorn", "polar", "many_sets"),
    "rotation",
    *("wsm", "tree_ensembles", "representations", "laftr", "alike"),
    *("preflight", "published_merges", "mending_rules", "matched_channels", "matching_speed"),
    "streaming",
    *("kinship_validity", "kinship_power", "family_tree"),
    "naming",
)


def main(argv: list[str]) -> int:
    """Run them; an assertion that fails is told at the end, and the others still run."""
    if argv and argv[0] not in BENCHES:
        print(f"there is no bench {argv[0]!r}; choose one of {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    failed = []
    for name in argv[:1] or BENCHES:
        print(f"\n== {name}", flush=True)
        try:
            importlib.import_module(f"bench.{name}").main(argv[1:])
        except AssertionError as error:
            print(f"FAILED: {name}: {error or 'an assertion does not hold'}", flush=True)
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
