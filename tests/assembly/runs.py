"""``assemble`` as the tests of its verb call it, what they compare, and interruptions."""

import hashlib
import json

import reknit

KNOWN = {"activation": "relu", "norm": "none"}


def run(folder, **options):
    return reknit.assemble(folder / "pieces", folder / "data.csv", **(KNOWN | options))


def told(assembly):
    """Everything an assembly says but the seconds."""
    content = assembly.as_json() | {"run": dict(assembly.run)}
    del content["seconds"]
    return json.dumps(content, default=str)


def answer(assembly):
    """The answer, without how it was reached."""
    content = assembly.as_json()
    return json.dumps({key: content[key] for key in ("verdict", "order", "pairs", "undecided", "residual")})


def hashes(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


class Stop:
    """Raises KeyboardInterrupt at the k-th report of progress."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, _):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


def calls_of(folder, **options):
    counter = Stop(-1)
    run(folder, progress=counter, **options)
    return counter.calls
