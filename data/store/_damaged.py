"""The error of whoever meets damage in a store."""

from affectlake.data.errors import AffectlakeError


class Damaged(AffectlakeError):
    """A file of a table is not what was written.

    Attributes
    ----------
    file : str
        Relative to the store.
    """

    def __init__(self, root: str, file: str, why: str = "its bytes are not those that were written"):
        super().__init__(root, file, why)
        self.file = file

    def __str__(self) -> str:
        root, file, why = self.args
        return (
            f"{file} is damaged: {why}; `affectlake verify --store {root}` lists all damage, `affectlake repair` mends "
            "what can be computed again"
        )
