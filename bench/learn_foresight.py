"""collect"""
import sys
import torch
from bench.common import Lines, options
from bench.foresight_nets import PAIRS, computer_of, pair_of
from bench.preflight import six_merges

def merges(name, number):
    first, second, rows = pair_of(name, number)
    return {"merges": six_merges(computer_of(name), (first, second), rows.known, rows.fresh, rows.rest)}

def main(argv):
    given = options("learn_foresight", argv)
    torch.set_num_threads(given.threads)
    lines = Lines("learn_foresight", given.fresh, ("match", "skeleton", "solvers"))
    keys = [[n, k] for n, count in PAIRS.items() for k in range(count)]
    # in turn, so that a run that is stopped has some of each
    keys.sort(key=lambda key: key[1])
    for line in lines.each(keys, lambda key: merges(*key)):
        pass
if __name__ == "__main__":
    main(sys.argv[1:])
