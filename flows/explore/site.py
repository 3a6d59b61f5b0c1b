"""All pages by name."""

from collections.abc import Callable

from affectlake.flows.explore import features, results, samples
from affectlake.flows.explore.ask import Ask, Links
from affectlake.flows.explore.lake import Lake

Page = Callable[[Lake, Ask, Links], str]

PAGES: dict[str, Page] = {
    "index": samples.index,
    "dataset": samples.dataset,
    "samples": samples.samples,
    "sample": samples.sample,
    "failures": samples.failures,
    "trace": samples.trace,
    "extractor": features.extractor,
    "column": features.column,
    "map": features.map_of,
    "run": results.run,
    "answers": results.answers,
    "compare": results.compare,
}
"""What each name of a page shows; the address of a page is its name and what is asked of it."""
