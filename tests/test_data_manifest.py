"""Manifests as people write them: encodings, separators, identifiers that look like numbers."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlake.data.errors import BadManifest
from affectlake.data.manifest import decode, read_manifest

CSV = "sample_id,text,speaker,emotion,valence\n007,a b,01,happy,0.5\n01-01,“é”,02,,-1e-1\n"


def write(folder, name, content, encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(tmp_path, encoding):
    got = read_manifest(write(tmp_path, "m.csv", CSV, encoding), "d")
    assert got["sample_id"].tolist() == ["007", "01-01"]
    assert got["text"].tolist() == ["a b", "“é”"]
    assert got["speaker"].tolist() == ["01", "02"]
    assert got["emotion"][0] == "happy" and got["emotion"].isna()[1]
    assert got["valence"].tolist() == [0.5, -0.1]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_utf8_is_read_as_it_is(text):
    assert decode(text.encode("utf-8-sig")) == text


def test_stray_bytes_are_windows_1252():
    assert decode("café ".encode() + b"it\x92s") == "café it’s"


@pytest.mark.parametrize(("name", "separator"), [("m.tsv", "\t"), ("m.txt", "\t"), ("m.csv", ";"), ("m.CSV", ",")])
def test_separators(tmp_path, name, separator):
    rows = [["sample_id", "text"], ["a", "x y"]]
    got = read_manifest(write(tmp_path, name, "\n".join(separator.join(r) for r in rows)), "d")
    assert got["text"].tolist() == ["x y"]


def test_numbers_only_where_all_values_are(tmp_path):
    table = "sample_id,text,a,b,c,d,e,f\n1,x,1,01,1,,12345678901234567890,nan\n2,y,2,02,x,,1,1\n"
    got = read_manifest(write(tmp_path, "m.csv", table), "d")
    assert got["a"].tolist() == [1, 2]
    assert got["b"].tolist() == ["01", "02"]
    assert got["c"].tolist() == ["1", "x"]
    assert got["d"].isna().all()
    assert got["e"].tolist() == ["12345678901234567890", "1"]
    assert got["f"].isna().tolist() == [True, False] and got["f"][1] == 1


def test_names_of_known_columns_are_forgiven(tmp_path):
    table = " Sample_ID ,Audio_Path,Speaker,Emotion\na,x.wav,s,happy\n"
    got = read_manifest(write(tmp_path, "m.csv", table), "d")
    assert got["audio"][0] == str(tmp_path / "x.wav")
    assert got["speaker"][0] == "s"
    assert got["Emotion"][0] == "happy"


def test_a_plain_name_wins_over_its_alias(tmp_path):
    got = read_manifest(write(tmp_path, "m.csv", "sample_id,audio_path,audio\na,x,y.wav\n"), "d")
    assert got["audio"][0] == str(tmp_path / "y.wav")
    assert got["audio_path"][0] == "x"


@pytest.mark.parametrize(
    ("table", "medium"),
    [
        ("sample_id,path\na,x.JPG\nb,y.png\n", "image"),
        ("sample_id,File\na,x.wav\nb,\n", "audio"),
        ("sample_id,filename\na,x.mp4\nb,y.mkv\n", "video"),
    ],
)
def test_a_plain_path_is_what_its_suffix_says(tmp_path, table, medium):
    got = read_manifest(write(tmp_path, "m.csv", table), "d")
    assert got[medium].notna().sum() == table.count(".") and got[medium][0].startswith(f"{tmp_path}/x.")
    assert got[["audio", "image", "video"]].notna().any().sum() == 1


def test_a_plain_path_is_not_guessed_at(tmp_path):
    with pytest.raises(BadManifest, match="no sample has any of audio, image, video, text.*'path'"):
        read_manifest(write(tmp_path, "m.csv", "sample_id,path\na,x.jpg\nb,y.wav\n"), "d")
    got = read_manifest(write(tmp_path, "m.csv", "sample_id,path,audio\na,x.jpg,y.wav\n"), "d")
    assert got["path"][0] == "x.jpg" and got["image"].isna().all()


def test_parquet_says_the_same_as_csv(tmp_path):
    csv = read_manifest(write(tmp_path, "m.csv", CSV), "d")
    pd.read_csv(tmp_path / "m.csv", dtype={"sample_id": str, "speaker": str}, keep_default_na=False).to_parquet(
        tmp_path / "m.parquet"
    )
    parquet = read_manifest(tmp_path / "m.parquet", "d")
    same = ["sample_id", "text", "speaker", "valence", "audio"]
    pd.testing.assert_frame_equal(csv[same], parquet[same])


def test_categories_in_parquet_are_their_values(tmp_path):
    table = pd.DataFrame({"sample_id": ["a", "b"], "text": ["x", "y"], "emotion": pd.Categorical(["p", "q"])})
    table.to_parquet(tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet", "d")["emotion"].dtype == "str"


def test_quoted_line_breaks_and_commas(tmp_path):
    got = read_manifest(write(tmp_path, "m.csv", 'sample_id,text\na,"one,\ntwo ""three"""\n'), "d")
    assert got["text"][0] == 'one,\ntwo "three"'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "", "is empty"),
        ("m.csv", "sample_id,text\na,b,c\n", "is no table"),
        ("m.csv", "sample_id,text\na,b\nc,d,e,f\n", "is no table: Expected 2 fields in line 3, saw 4"),
        ("m.csv", b"RIFF\0\0\0\0WAVE", "is not a text file"),
        ("m.parquet", "sample_id,text\na,b\n", "is no Parquet file"),
        ("m.xlsx", "x", "is no Excel file"),
        ("m.ods", "x", "unknown kind '.ods', valid: .csv"),
        ("m.csv", "path,text\na,b\n", "no column 'sample_id'"),
    ],
)
def test_what_is_no_manifest_says_why(tmp_path, name, content, message):
    with pytest.raises(BadManifest, match=message) as error:
        read_manifest(write(tmp_path, name, content), "d")
    assert "\n" not in str(error.value)


def test_a_missing_manifest_names_those_beside_it(tmp_path):
    write(tmp_path, "samples.csv", CSV)
    with pytest.raises(BadManifest, match="no manifest .*sample.csv; beside it: samples.csv"):
        read_manifest(tmp_path / "sample.csv", "d")
    with pytest.raises(BadManifest, match="a folder"):
        read_manifest(tmp_path, "d")


def test_missing_media_are_no_error(tmp_path):
    assert len(read_manifest(write(tmp_path, "m.csv", "sample_id,audio\na,gone.wav\n"), "d")) == 1


def test_real_manifests(shared_data):
    ravdess = read_manifest(shared_data / "ravdess_audio" / "manifest.csv", "ravdess")
    assert len(ravdess) == 1440 and ravdess["speaker"].nunique() == 24
    assert ravdess["sample_id"][0] == "01-01-01-01-01-01-01"
    tweets = read_manifest(shared_data / "tweets_image_text" / "manifest.csv", "tweets")
    assert len(tweets) == 1965 and tweets["image"].notna().all() and tweets["text"].notna().all()
