"""Checking the tables that corpora come with."""

from collections.abc import Iterable

import pandas as pd

from affectlake.data.errors import BadManifest


def required(table: pd.DataFrame, columns: Iterable[str], path: object) -> pd.DataFrame:
    """The table itself, its headers stripped.

    Raises
    ------
    BadManifest
        Columns are missing: names them and those that are there.
    """
    table = table.rename(columns=lambda c: str(c).strip())
    missing = [c for c in columns if c not in table]
    if missing:
        present = ", ".join(map(repr, table.columns[:12]))
        raise BadManifest(f"{path}: looked for column(s) {', '.join(map(repr, missing))}; found {present}")
    return table
