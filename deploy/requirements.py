"""Print the dependencies of a pyproject.toml and of one extra: pip does not install them without the code."""

import re
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]


def extra(name: str) -> list[str]:
    """The requirements of an extra; one of our own extras among them stands for its requirements."""
    found = []
    for requirement in project["optional-dependencies"][name]:
        ours = re.fullmatch(rf"{project['name']}\[([\w,-]+)\]", requirement)
        found += [r for part in ours[1].split(",") for r in extra(part)] if ours else [requirement]
    return found


print(*dict.fromkeys([*project["dependencies"], *extra(sys.argv[2])]), sep="\n")
