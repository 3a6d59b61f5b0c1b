"""Files made of other files' bytes: what all of them do alike."""

import os
from io import RawIOBase


class Positioned(RawIOBase):
    r"""A seekable file for reading; a subclass has ``size`` bytes and `readinto`\ s from ``position`` on."""

    def __init__(self, size: int):
        self.size, self.position = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        return self.position
