"""What holds for every test: fixed examples, no clock on them, and threads that do not get in each other's way."""

import os

# read when torch is loaded, and by the commands that tests start: the nets are too small to share out, and threads
# that wait by spinning make a busy machine many times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings

# the same examples in every run; a busy machine may be slow, and that is no failure
settings.register_profile("reknit", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("reknit")
