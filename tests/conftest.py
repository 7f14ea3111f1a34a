"""What holds for every test: fixed examples, and no clock on them."""

from hypothesis import settings

# the same examples in every run; a busy machine may be slow, and that is no failure
settings.register_profile("reknit", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("reknit")
