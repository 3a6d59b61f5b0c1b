"""Computing in the process of the test, where faults can be injected."""

from affectlake.features.compute import compute
from affectlake.features.results import results


def here(work, options, places):
    for chunk in work.chunks:
        yield results([chunk], [compute(chunk)])
