"""Every face of a film, followed from frame to frame by how its boxes overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.pictures import film_extent, read_frames
from affectlake.features import settings
from affectlake.features.face.detect import Faces, every_face, faces_of, overlap
from affectlake.features.inputs import Request

OVERLAP = 0.2
"""Intersection over union below which two boxes are not the same face."""

FEWEST = 2
"""Frames in which a face is seen, where there are so many frames: what is seen in one alone is mostly nobody."""

SETTINGS = {"overlap": OVERLAP, "fewest": FEWEST}


@dataclass(frozen=True)
class Track:
    """A face that was followed.

    Attributes
    ----------
    start, end : float or None
        Seconds of the recording from the beginning of the part that its first frame stands for to the end of its last
        one's; None of pictures.
    faces : Faces
        In each frame in which it was found; ``counts`` are those of the frames from its first to its last.
    """

    start: float | None
    end: float | None
    faces: Faces


def read_tracks(request: Request) -> list[Track]:
    """Every face of a film or picture, that with most of the picture first.

    Raises
    ------
    NotApplicable
        No frame shows a face.
    BadMedia
        As `affectlake.data.pictures.read_frames`.
    """
    frames = read_frames(request.uri, request.start, request.end, int(settings.get("video.frames")))
    seen = [every_face(frame) for frame in frames]
    tracks = followed([[box for box, _ in faces] for faces in seen])
    tracks = [track for track in tracks if len(track) >= min(FEWEST, len(frames))]
    if not tracks:
        raise NotApplicable(f"no face in {len(frames)} frame{'s' * (len(frames) != 1)}")
    span = film_extent(request.uri, request.start, request.end)
    made = [_track(track, seen, span) for track in tracks]
    return sorted(made, key=lambda track: -float(track.faces.size.sum()))


def _track(
    track: Sequence[tuple[int, int]],
    seen: Sequence[Sequence[tuple[np.ndarray, tuple[Any, ...]]]],
    span: tuple[float, float] | None,
) -> Track:
    first, last = track[0][0], track[-1][0]
    faces = faces_of([seen[i][j][1] for i, j in track], [len(seen[i]) for i in range(first, last + 1)])
    if span is None:
        return Track(None, None, faces)
    step = (span[1] - span[0]) / len(seen)
    return Track(round(span[0] + first * step, 3), round(span[0] + (last + 1) * step, 3), faces)


def followed(boxes: Sequence[Sequence[np.ndarray]]) -> list[list[tuple[int, int]]]:
    """Tracks of the boxes in each frame, as pairs of a frame and a box in it.

    Each box goes to the track whose last box it overlaps, all together so that most of their area does (Hungarian
    method); one that overlaps none begins a track. A face that was away and comes back to its place goes on.

    Examples
    --------
    >>> left, right = np.array([0, 0, 10, 10]), np.array([50, 0, 60, 10])
    >>> followed([[left, right], [right + 1], [right + 2, left]])
    [[(0, 0), (2, 1)], [(0, 1), (1, 0), (2, 0)]]
    """
    from scipy.optimize import linear_sum_assignment

    tracks: list[list[tuple[int, int]]] = []
    for i, here in enumerate(boxes):
        shared = np.array([[overlap(boxes[t[-1][0]][t[-1][1]], box) for box in here] for t in tracks])
        taken = set()
        if shared.size:
            for t, j in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
                if shared[t, j] >= OVERLAP:
                    tracks[t].append((i, int(j)))
                    taken.add(int(j))
        tracks += [[(i, j)] for j in range(len(here)) if j not in taken]
    return tracks
