"""Media in buckets and behind https, from the first night to erasure."""

import json
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import soundfile
from elsewhere import SECRET, VARIABLES, Front
from here import here
from PIL import Image

from affectlake.data import remote
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.pictures import read_frames
from affectlake.data.store import Store
from affectlake.features import _files, plan
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh

COLUMN = "image.color.lightness_mean"
NAMES = (
    "a b.png",
    "中文.png",
    "100%25.png",
    "50%.png",
    "a#b?c+d&e.png",
    "[x].png",
    "A.png",
    "a.png",
    "é.png",
    "~*'.png",
)


def png(level: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (16, 16), (level,) * 3).save(out, "png")
    return out.getvalue()


@pytest.fixture
def bucket(cloud, tmp_path, monkeypatch, request):
    """A folder of the bucket of this test's own: its address. Nothing goes wrong, nothing was asked for."""
    monkeypatch.chdir(tmp_path)
    cloud.fault, cloud.asked = (lambda method, path, time: None), []
    folder = re.sub(r"\W+", "-", request.node.name)[:60]
    for i, name in enumerate(NAMES):
        cloud.put("calls", f"{folder}/{name}", png(20 * i))
    return folder


def manifest(cloud, folder: str, names=NAMES, **columns) -> str:
    frame = pd.DataFrame({"sample_id": [f"s{i}" for i in range(len(names))], "path": names} | columns)
    cloud.put("calls", f"{folder}/m.csv", frame.to_csv(index=False).encode())
    cloud.asked.clear()
    return f"s3://calls/{folder}/m.csv"


def night(uri: str, run=here, **options):
    return refresh(RefreshOptions("d", manifest=uri, only=("image.color",), **options), run)


def values() -> dict[str, float]:
    return Store("lake").load("d", COLUMN)[COLUMN].to_dict()


def media(cloud) -> list[str]:
    """Requests for whole objects, those for the manifest apart."""
    return [path for method, path in cloud.asked if method == "GET" and ".png" in path and "list-type" not in path]


def test_nights(cloud, bucket):
    """Each object is read once, however it is called; a night without changes reads none, one with reads these."""
    uri = manifest(cloud, bucket)
    first = night(uri)
    assert first.extractors["image.color"]["new"] == len(NAMES) == first.computed["image.color"] and first.failed == 0
    assert len(media(cloud)) == len(set(media(cloud))) == len(NAMES)
    before = values()
    assert list(before.values()) == sorted(before.values()) and before["s6"] < before["s7"]
    cloud.asked.clear()
    assert night(uri).extractors["image.color"]["unchanged"] == len(NAMES)
    assert media(cloud) == [] and cloud.count("HEAD") == 0 and cloud.count("GET", "list-type") == 1
    cloud.put("calls", f"{bucket}/[x].png", png(250))
    assert night(uri).extractors["image.color"]["recomputed"] == 1
    assert len(media(cloud)) == 1 and values() == before | {"s5": max(values().values())}
    assert Store("lake").samples("d")["image"].iloc[4] == f"s3://calls/{bucket}/{NAMES[4]}"
    told = Store("lake").explain("d", "s5", COLUMN)
    assert f"s3://calls/{bucket}/[x].png" in str(told) and told["value"] == values()["s5"]


def test_workers_share_one_place_which_goes_with_them(cloud, bucket, tmp_path):
    """As the command does it: two workers, objects read once, nothing is left."""
    uri, place = manifest(cloud, bucket), tmp_path / "place"
    place.mkdir()
    program = f"""if __name__ == "__main__":
        from pathlib import Path
        from affectlake.flows.options import RefreshOptions
        from affectlake.flows.refresh import refresh
        options = RefreshOptions("d", manifest={uri!r}, only=("image.color", "image.texture"), workers=2)
        print(refresh(options).failed, len(list(Path({str(place)!r}).glob("affectlake-media-*"))))"""
    Path("program.py").write_text(program)
    environment = os.environ | {"TMPDIR": str(place)}
    environment.pop("AFFECTLAKE_MEDIA_FOLDER", None)
    done = subprocess.run([sys.executable, "program.py"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0 1\n" and list(place.glob("affectlake-media-*")) == []
    assert len(media(cloud)) == len(NAMES)


def test_a_folder_that_moved_is_not_read(cloud, bucket):
    """Its ETags are known under other addresses."""
    night(manifest(cloud, bucket))
    before = values()
    for i, name in enumerate(NAMES):
        cloud.put("calls", f"{bucket}-moved/{name}", png(20 * i))
    again = night(manifest(cloud, f"{bucket}-moved"))
    assert media(cloud) == [] and again.extractors["image.color"]["unchanged"] == len(NAMES) and values() == before


def test_a_night_that_breaks_off_keeps_what_was_read(cloud, bucket, monkeypatch):
    monkeypatch.setitem(plan.CHUNK, "image", 3)

    def breaking(*asked):
        for i, results in enumerate(here(*asked)):
            if i == 2:
                raise KeyboardInterrupt
            yield results

    uri = manifest(cloud, bucket)
    with pytest.raises(KeyboardInterrupt):
        night(uri, breaking)
    cloud.asked.clear()
    assert night(uri).computed["image.color"] == len(NAMES) - 6 and len(values()) == len(NAMES)
    assert not any(quote(name) in path for name in NAMES[:6] for path in media(cloud))


def test_an_object_that_changes_between_the_list_and_the_reading(cloud, bucket):
    def changing(*asked):
        if not cloud.count("GET", "a%20b"):
            cloud.put("calls", f"{bucket}/a b.png", png(200))
        yield from here(*asked)

    uri = manifest(cloud, bucket)
    assert night(uri, changing).failed == 0
    changed = values()
    assert max(changed, key=changed.get) == "s0"
    cloud.asked.clear()
    assert night(uri).extractors["image.color"]["unchanged"] == len(NAMES) and media(cloud) == []


def test_segments(cloud, bucket):
    """Parts of a recording are parts of what it turns out to be; a name for no content is never kept."""
    sound = BytesIO()
    soundfile.write(sound, 0.1 * np.sin(np.arange(48000) ** 1.3 / 20), 16000, format="WAV")
    cloud.put("calls", f"{bucket}/a.wav", sound.getvalue())
    Path("a.wav").write_bytes(sound.getvalue())
    frames = {}
    for where in (f"s3://calls/{bucket}/a.wav", "a.wav"):
        rows = {"sample_id": ["a", "b", "c"], "audio": where, "start": [None, 0.5, 1], "end": [None, 2, None]}
        pd.DataFrame(rows | {"channel": [None, None, "1"]}).to_csv("m.csv", index=False)
        store = f"lake-{len(frames)}"
        refresh(RefreshOptions("d", manifest="m.csv", store=store, only=("audio.recording",)), here)
        frames[where] = Store(store).load("d")
        contents = {Store(store).explain("d", i, "audio.recording.bandwidth")["content"] for i in "abc"}
        assert len(contents) == 3 and all(re.fullmatch("[0-9a-f]{64}", c) for c in contents)
        frames[f"{where} contents"] = contents
    one, theirs, other, ours = frames.values()
    features = [c for c in one if c.startswith("audio.")]
    pd.testing.assert_frame_equal(one[features], other[features])
    assert theirs == ours and cloud.count("GET", "/a.wav") == 1


def test_an_object_that_is_not_there_or_closed_costs_itself(cloud, bucket):
    cloud.fault = lambda method, path, time: 403 if "/A.png" in path else None
    assert night(manifest(cloud, bucket, [*NAMES, "gone.png", "x//y.png"])).failed == 3
    reasons = Store("lake").failures("d").set_index("sample_id")["reason"].to_dict()
    assert reasons["s10"] == "the file: no such object (404 NoSuchKey)" and "may not be read (403)" in reasons["s6"]
    assert "empty folder name" in reasons["s11"] and len(values()) == len(NAMES) + 2
    cloud.fault = lambda method, path, time: None
    cloud.put("calls", f"{bucket}/gone.png", png(9))
    assert night(f"s3://calls/{bucket}/m.csv").failed == 1


@pytest.mark.parametrize("fault", [503, 429, 500, "cut", "drop"])
def test_what_fails_once_is_asked_for_again(cloud, bucket, fault):
    uri = manifest(cloud, bucket, NAMES[:3])
    cloud.fault = lambda method, path, time: fault if time == 1 and (".png" in path or "list-type" in path) else None
    assert night(uri).failed == 0 and list(values().values()) == sorted(values().values())


def test_a_body_that_never_comes_whole_is_no_value(cloud, bucket):
    uri = manifest(cloud, bucket, NAMES[:3])
    cloud.fault = lambda method, path, time: "cut" if "a%20b" in path else None
    assert night(uri).failed == 1
    assert "broke off" in Store("lake").failures("d")["reason"].item()


@pytest.mark.parametrize(
    "uri, says",
    [("s3://nowhere/m.csv", "no such bucket"), ("s3://calls/none.csv", "no such object"), ("ftp://h/m.csv", "ftp://")],
)
def test_what_is_not_there_is_one_line(cloud, bucket, uri, says):
    with pytest.raises(UsageError, match=says):
        night(uri)
    assert not Path("lake").exists()


def test_a_bucket_that_lets_nobody_in_is_one_line_before_anything_is_done(cloud, bucket):
    pd.DataFrame({"sample_id": ["a", "b"], "path": [f"s3://calls/{bucket}/{n}" for n in NAMES[:2]]}).to_csv("m.csv")
    cloud.fault = lambda method, path, time: 403
    with pytest.raises(AffectlakeError, match=r"s3://calls: may not be listed \(403\); are these right: AWS_ACCESS"):
        night("m.csv")
    assert "d" not in Store("lake").datasets() if Path("lake/log").exists() else True


def test_workers_see_no_credentials_in_what_is_kept(cloud, bucket, capfd):
    """Signed addresses work, in other processes too; who signed stands nowhere."""
    web = Front()
    web.objects = {f"/{i}.png": png(90 * i) for i in range(3)}
    signed = [f"{web.url}/{i}.png?X-Amz-Credential=AKIAHIDDEN&X-Amz-Signature=5ec2e7" for i in range(2)]
    signed += [web.url.replace("://", "://ann:pa55word@") + "/2.png", f"{web.url}/none.png?sig=5ec2e7&se=2"]
    frame = {"sample_id": list("abcd"), "image": signed, "page": signed}
    pd.DataFrame(frame).to_csv("m.csv", index=False)
    result = refresh(RefreshOptions("d", manifest="m.csv", only=("image.color",), workers=1))
    assert result.failed == 1 and web.count("GET") >= 3 and len(set(values().values())) == 4  # one is missing
    assert any("5ec2e7" in path for _, path in web.asked)
    kept = b"".join(p.read_bytes() for p in Path("lake").rglob("*") if p.is_file())
    said = json.dumps([str(result), *map(str, capfd.readouterr()), Store("lake").samples("d").to_csv()]).encode()
    for secret in (b"5ec2e7", b"pa55word", b"AKIAHIDDEN", SECRET.encode(), VARIABLES["AWS_ACCESS_KEY_ID"].encode()):
        assert secret not in kept and secret not in said
    web.asked.clear()
    assert night("m.csv").extractors["image.color"]["unchanged"] >= 3 and web.count("GET") <= 1
    with pytest.raises(UsageError, match="came with a password or signature") as error:
        night(f"{web.url}/m.csv?X-Amz-Signature=5ec2e7")
    assert "5ec2e7" not in str(error.value)
    web.close()


def test_a_corpus_in_a_bucket(cloud, bucket):
    """Its names are listed, its recordings are not read to find them."""
    for actor in (1, 2):
        for emotion in (1, 5):
            sound = BytesIO()
            soundfile.write(sound, 0.1 * np.sin(np.arange(16000) * emotion / 20), 16000, format="WAV")
            name = f"03-01-{emotion:02}-01-01-01-{actor:02}.wav"
            cloud.put("calls", f"{bucket}/Actor_{actor:02}/{name}", sound.getvalue())
    cloud.asked.clear()
    options = RefreshOptions("ravdess", root=f"s3://calls/{bucket}", only=("audio.recording",))
    assert refresh(options, here).extractors["audio.recording"]["new"] == 4
    assert cloud.count("GET", ".wav") == 2 and cloud.count("HEAD") == 0
    samples = Store("lake").samples("ravdess")
    assert samples["audio"].str.startswith(f"s3://calls/{bucket}/Actor_0").all()
    with pytest.raises(UsageError, match=r"nothing is there"):
        refresh(RefreshOptions("ravdess", root="s3://calls/none"), here)


def test_erasing_takes_the_traces_and_leaves_others(cloud, bucket):
    uri = manifest(cloud, bucket, speaker=["ann", "ben"] * 5)
    night(uri)
    receipt = Store("lake").erase("d", speaker="ann")
    assert receipt["samples"] == 5 and receipt["still_found_in"] == []
    cloud.asked.clear()
    again = night(uri)
    assert again.erased == 5 and set(values()) == {f"s{i}" for i in range(1, 10, 2)} and media(cloud) == []
    cloud.put("calls", f"{bucket}/back.png", png(0))  # who was erased, under another name
    ids = [*(f"s{i}" for i in range(1, 10, 2)), "another"]
    assert night(manifest(cloud, bucket, [*NAMES[1::2], "back.png"], sample_id=ids)).erased == 1


def test_equal_objects_are_computed_once(cloud, bucket):
    cloud.put("calls", f"{bucket}/copy.png", png(20))
    result = night(manifest(cloud, bucket, [*NAMES[:2], "copy.png"]))
    assert result.computed["image.color"] == 2 and values()["s1"] == values()["s2"]


def test_objects_that_turn_out_to_be_equal_have_their_values_once(cloud, bucket):
    """Where lists do not tell, and what is known already, in a table with several rows for each content, too."""
    web, sound = Front(), BytesIO()
    soundfile.write(sound, 0.1 * np.sin(np.arange(80000) ** 1.2 / 20), 16000, format="WAV")
    web.objects = {f"/{i}.wav": sound.getvalue() for i in range(4)}
    options = {"only": ("audio.spectral",), "settings": {"series.window": 1.0}}
    for count in (1, 3, 4):
        rows = {"sample_id": list("abcd"[:count]), "audio": [f"{web.url}/{i}.wav" for i in range(count)]}
        pd.DataFrame(rows).to_csv("m.csv", index=False)
        assert refresh(RefreshOptions("d", manifest="m.csv", **options), here).failed == 0
    for entry in Store("lake").snapshot("d").features.values():
        table = Store("lake")._tables.load_version(entry).to_pyarrow_table().to_pandas()
        counts = table.groupby("sample_id").size()
        assert counts.to_dict() == dict.fromkeys("abcd", 5 if "@" in entry.path else 1)
        assert len(table.drop(columns=["sample_id", "shard"]).drop_duplicates()) == counts.iloc[0]
    web.close()


def test_a_cluster_that_shares_no_disk(cloud, bucket, tmp_path):
    """Workers fetch what they compute to a temporary place of their own."""
    pytest.importorskip("distributed")
    from affectlake.flows import engines

    uri, place = manifest(cloud, bucket), tmp_path / "theirs"
    place.mkdir()
    address = tmp_path / "scheduler.json"
    environment = os.environ | {"TMPDIR": str(place)}
    environment.pop("AFFECTLAKE_MEDIA_FOLDER", None)
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": place}
    started = [
        subprocess.Popen([*scheduler, "--scheduler-file", str(address)], **quiet),
        subprocess.Popen([*worker, "--scheduler-file", str(address)], **quiet),
    ]
    try:
        for _ in range(300):
            if address.exists() and address.stat().st_size:
                break
            __import__("time").sleep(0.1)
        where = json.loads(address.read_text())["address"]
        result = night(uri, engines.run, store="theirs-lake", engine="dask", address=where)
        assert result.extractors["image.color"]["new"] == len(NAMES) and result.failed == 0
        assert len(media(cloud)) == len(NAMES) and list(place.glob("affectlake-media-*"))
        night(uri)
        assert Store("theirs-lake").load("d", COLUMN)[COLUMN].to_dict() == values()
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def test_files_are_extracted_and_cut(cloud, bucket, capsys):
    """The same as from this machine, to the bit; who signed an address is not told."""
    from affectlake.features import extract
    from affectlake.flows.cli.app import run

    sound, web = BytesIO(), Front()
    time = np.arange(48000) / 16000
    soundfile.write(sound, 0.3 * np.sin(2 * np.pi * 200 * time) * (time % 1.5 < 0.8), 16000, format="WAV")
    Path("a b.wav").write_bytes(sound.getvalue())
    cloud.put("calls", f"{bucket}/a b.wav", sound.getvalue())
    web.objects = {"/a b": sound.getvalue()}
    files = ["a b.wav", f"s3://calls/{bucket}/a b.wav", f"{web.url}/a%20b?X-Amz-Signature=5ec2e7"]
    found = extract(files, "audio.recording")
    assert found.index.tolist() == [*files[:2], f"{web.url}/a%20b"] and len(found.drop_duplicates()) == 1
    cut = []
    for file in files:
        assert run(["segment", file, "--by", "silence"]) == 0
        out, err = capsys.readouterr()
        cut.append(pd.read_csv(BytesIO(out.encode()))[["start", "end"]])
        assert "5ec2e7" not in out + err and len(cut[-1]) == 2
    assert cut[0].equals(cut[1]) and cut[0].equals(cut[2])
    web.close()


def test_folders_of_frames(cloud, bucket, tmp_path):
    """They are what the same folder is here; each frame is fetched once, and a changed one seen by the list."""
    for folder in ("f/0001", "f/0002", "f/00010"):
        for i in (1, 2, 10):
            cloud.put("calls", f"{bucket}/{folder}/{i}.png", png(10 * i))
    cloud.put("calls", f"{bucket}/f/0001/deeper/1.png", png(3))
    for i in (1, 2, 10):
        Path("0001").mkdir(exist_ok=True)
        Path(f"0001/{i}.png").write_bytes(png(10 * i))
    rows = {"sample_id": ["a", "b", "c"], "video": ["f/0001/", "f/../f/0002/", "f/none/"]}
    cloud.put("calls", f"{bucket}/m.csv", pd.DataFrame(rows).to_csv(index=False).encode())
    cloud.asked.clear()
    options = RefreshOptions("d", manifest=f"s3://calls/{bucket}/m.csv", only=("face.texture",))
    counts = refresh(options, here).extractors["face.texture"]
    assert counts["not_applicable"] == 2 and counts["failed"] == 1 and len(media(cloud)) == 3  # two are equal
    assert cloud.count("GET", "list-type") <= 4 and "no such folder" in Store("lake").failures("d")["reason"][0]
    with remote.fetched(f"s3://calls/{bucket}/f/0001/") as copy:
        assert sorted(p.name for p in copy.path.iterdir()) == ["1.png", "10.png", "2.png"]
        assert copy.sha256 == _files.read(str(tmp_path / "0001")).sha256
        assert np.array_equal(read_frames(copy.path)[2], read_frames("0001")[2])
    cloud.asked.clear()
    assert refresh(options, here).extractors["face.texture"]["unchanged"] >= 2 and media(cloud) == []
    cloud.put("calls", f"{bucket}/f/0001/2.png", png(77))
    assert refresh(options, here).extractors["face.texture"]["recomputed"] == 1
