"""Tables as people and their programs write them."""

import datetime as dt
import decimal
import gzip
import io
import json
import unicodedata
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affectlake.data.errors import BadManifest
from affectlake.data.manifest import TableOptions, load_manifest, read_any
from affectlake.data.samples import samples_frame


def read(folder, name, content=None, **options):
    path = folder / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_manifest(path, "d", TableOptions(**options))


def rows(folder, name, content, *columns):
    return read(folder, name, content).samples[["sample_id", *columns]].values.tolist()


TWO = [["007", "x"], ["8", "y"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", "sep=;\nsample_id;text\n007;x\n8;y\n"),
        ("m.csv", "sample_id|text\n007|x\n8|y\n"),
        ("m.csv", "sample_id\ttext\n007\tx\n8\ty\n"),
        ("m.txt", "sample_id,text\n007,x\n8,y\n"),
        ("m.csv", "sample_id;text;;;\n007;x;;;\n;;;;\n\n8;y;;;;;\n;;;;;\n"),
        ("m.csv", "sample_id,text\r007,x\r8,y\r"),
        ("m.csv", '\ufeff"sample_id","text"\r\n"007","x"\r\n"8","y"\r\n'),
        ("m.csv", "# by us, in May\nsample_id,text\n007,x\n8,y\n"),
        ("m.csv", "sample_id,text\n\xa0007\u3000,x\n 8 ,y\n"),
        ("m.csv", ",sample_id,text\n0,007,x\n1,8,y\n"),
        ("m.csv", "Unnamed: 0,sample_id,text\n0,007,x\n1,8,y\n"),
        ("m.tsv", '"sample_id"\t"text"\n"007"\t"x"\n"8"\t"y"\n'),
        ("m.jsonl", '{"sample_id": "007", "text": "x"}\n\n{"text": "y", "sample_id": 8}\n'),
        ("m.json", '[{"sample_id": "007", "text": "x"}, {"sample_id": 8, "text": "y"}]'),
        ("m.csv.gz", gzip.compress(b"sample_id,text\n007,x\n8,y\n", mtime=0)),
    ],
)
def test_one_table_written_in_many_ways(tmp_path, name, content):
    assert rows(tmp_path, name, content, "text") == TWO


def test_a_table_in_a_zip_beside_what_macos_adds(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m/table.csv", "sample_id,text\n007,x\n8,y\n")
        archive.writestr("__MACOSX/m/._table.csv", "?")
    assert rows(tmp_path, "m.zip", packed.getvalue(), "text") == TWO


def test_quotes_that_quote_nothing(tmp_path):
    assert rows(tmp_path, "m.tsv", 'sample_id\ttext\na\t"so\nb\tsaid"\n', "text") == [["a", '"so'], ["b", 'said"']]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "sample_id,text,text\na,b,c\n", "column 'text' is there 2 times"),
        ("m.csv", "sample_id,text,Mood,mood\na,b,c,d\n", "'Mood' and 'mood' differ only in case"),
        ("m.csv", 'sample_id,text\na,x\nb,"y\nc,z\n', "a quote that begins in line 3 does not end"),
        ("m.csv", 'sample_id,text\n\na,"x\ny"\na,z\n', "not unique: 'a' in lines 3, 5"),
        ("m.csv", "sample_id,text,end\na,x,5\nb,y,1e300\n", "end is 1e\\+300 s, longer than any recording .line 3"),
        ("m.csv", "sample_id,text,end\na,x,soon\n", "end is 'soon', not a number of seconds"),
        ("m.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        ("m.csv", ",".join(f"c{i}" for i in range(20000)) + "\n", "has 20000 columns"),
        ("m.jsonl", '{"sample_id": 1}\n{"sample_id": 2\n', "line 2 is no JSON"),
        ("m.jsonl", '{"sample_id": 1, "text": "x", "text": "y"}\n', "key 'text' is there twice"),
        ("m.jsonl", '{"sample_id": 1, "text": "x", "mood": [1, 2]}\n', "column 'mood' holds nested values .list"),
        ("m.csv.gz", gzip.compress(b"0" * (260 << 20), 1, mtime=0), "unpacks to more than 256 MB"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    with pytest.raises(BadManifest, match=message):
        read(tmp_path, name, content)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.parquet", "m.xlsx"])
def test_missing_values_are_the_same_in_all_formats(tmp_path, name):
    words = ["", "NA", "n/a", "NaN", "null", "-", " NULL ", "joy"]
    table = {"sample_id": ["NA", *"bcdefgh"], "text": ["x"] * 8, "mood": words, "speaker": words}
    if name == "m.xlsx":
        content = workbook([list(table), *map(list, zip(*table.values(), strict=True))])
    elif name == "m.parquet":
        content = io.BytesIO()
        pd.DataFrame(table).to_parquet(content)
        content = content.getvalue()
    elif name == "m.jsonl":
        content = pd.DataFrame(table).to_json(orient="records", lines=True)
    else:
        content = pd.DataFrame(table).to_csv(index=False)
    found = read(tmp_path, name, content)
    assert found.samples["sample_id"][0] == "NA"
    for column in ("mood", "speaker"):
        assert found.samples[column].isna().tolist() == [True] * 7 + [False]
    assert any("counted as missing: 'NA' (1) in 'mood'" in note or "'NA' (1)" in note for note in found.notes)


def test_missing_values_can_be_told(tmp_path):
    found = read(tmp_path, "m.csv", "sample_id,text,mood\na,x,NA\nb,y,99\nc,z,\n", missing_values=("99",))
    assert found.samples["mood"].isna().tolist() == [False, True, True] and found.samples["mood"][0] == "NA"


def test_slips_are_named(tmp_path):
    said = read(tmp_path, "m.csv", "sample_id,text,mood,v\na,x,angry,0.1\nb,y,Angry,0.2\n\nc,z,angry ,hi\nd,z,joy,1\n")
    notes = " ".join(said.notes)
    assert (
        "'mood' holds values that differ only in case or spaces: 'Angry' (1) and 'angry' (1) and 'angry ' (1)" in notes
    )
    assert "'v' is text, not a number: it holds 3 numbers and 'hi' (line 5)" in notes
    assert said.samples["mood"].tolist() == ["angry", "Angry", "angry ", "joy"]
    commas = read(tmp_path, "m.csv", "sample_id;text;v\na;x;0,5\nb;y;1\n")
    assert commas.samples["v"].tolist() == [0.5, 1] and "decimal commas" in commas.notes[0]
    quoted = read(tmp_path, "m.csv", 'sample_id,text,v\na,x,"0,5"\nb,y,"1,5"\n')
    assert "numbers with commas such as '0,5', '1,5' (lines 2, 3)" in quoted.notes[0]


def test_times_as_players_show_them(tmp_path):
    table = 'sample_id,text,start,end\na,x,00:01:02.5,"1:03,25"\nb,y,5,00:00:07\nc,y,,1e1\n'
    assert read(tmp_path, "m.csv", table).samples["start"].tolist()[:2] == [62.5, 5]
    assert read(tmp_path, "m.csv", table).samples["end"].tolist() == [63.25, 7, 10]


def test_paths_of_other_systems(tmp_path):
    (tmp_path / "calls").mkdir()
    for name in ("001.wav", unicodedata.normalize("NFD", "é.wav")):
        (tmp_path / "calls" / name).touch()
    table = "sample_id,audio\n"
    table += "a,calls\\001.wav\nb,C:\\our data\\calls\\001.wav\nc,calls/é.wav\nd, calls/001.wav \ne,D:\\x\\y.wav\n"
    found = read(tmp_path, "m.csv", table)
    first = str(tmp_path / "calls/001.wav")
    accent = str(tmp_path / "calls" / unicodedata.normalize("NFD", "é.wav"))
    assert found.samples["audio"].tolist()[:4] == [first, first, accent, first]
    assert "1 audio paths name a drive of Windows and no file here" in " ".join(found.notes)


def parquet(folder, **columns):
    n = len(next(iter(columns.values())))
    ids = {"sample_id": [f"s{i}" for i in range(n)], "text": ["x"] * n}
    pq.write_table(pa.table(ids | columns), folder / "m.parquet")
    return read(folder, "m.parquet").samples


def test_parquet_keeps_what_it_holds(tmp_path):
    ids = pa.array([1234567890123456789, 1234567890123456790, None])
    got = parquet(
        tmp_path,
        speaker=ids,
        dialogue=pa.array([1.0, 2.0, None]),
        call=ids,
        n=pa.array([1, None, 3], pa.uint64()),
        ok=pa.array([True, None, False]),
        price=pa.array([decimal.Decimal("1.50")] * 3),
        kind=pa.array(["p", None, "q"]).dictionary_encode(),
        code=pa.array([1, None, 2]).dictionary_encode(),
        at=pa.array([1_700_000_000_123_456] * 3, pa.timestamp("us", "Europe/Berlin")),
        note=pa.array(["q", None, ""], pa.large_string()),
    )
    for column in ("speaker", "call"):
        assert got[column].tolist()[:2] == ["1234567890123456789", "1234567890123456790"]
    assert got["dialogue"].tolist()[:2] == ["1", "2"]
    assert got["n"].tolist()[::2] == [1, 3] and got["code"].tolist()[::2] == [1, 2]
    assert got["ok"].tolist() == [True, pd.NA, False] or got["ok"].isna().tolist() == [False, True, False]
    assert got["price"].tolist() == [1.5] * 3 and got["kind"].isna().tolist() == [False, True, False]
    assert got["at"][0].isoformat() == "2023-11-14T23:13:20.123456+01:00"
    assert got["note"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1_700_000_000_123_456_789] * 2, pa.timestamp("ns")), "times are kept to the microsecond"),
        (pa.array([dt.timedelta(1)] * 2), "is of type timedelta64"),
        (pa.array([2**64 - 1, 1], pa.uint64()), "18446744073709551615 .uint64."),
        (pa.array([b"a", b"b"]), "holds bytes"),
        (pa.array([[1], [2]]), "holds nested values"),
        (pa.array([{"a": 1}] * 2), "holds nested values .dict"),
    ],
)
def test_what_cannot_be_kept_is_named_when_it_is_read(tmp_path, column, message):
    with pytest.raises(BadManifest, match=f"column 'mood' .*{message}|column 'mood' {message}"):
        parquet(tmp_path, mood=column)


def test_an_index_of_pandas_is_a_column(tmp_path):
    table = pd.DataFrame({"text": ["hi", "you"], "audio.x.v": [1.0, 2.0]}, index=pd.Index(["a", "b"], name="sample_id"))
    table.to_parquet(tmp_path / "m.parquet")
    found = read(tmp_path, "m.parquet")
    assert found.samples["sample_id"].tolist() == ["a", "b"] and "audio.x.v" not in found.samples
    assert read_any(tmp_path / "m.parquet")["audio.x.v"].tolist() == [1, 2]
    table.reset_index().iloc[::-1].to_parquet(tmp_path / "m.parquet")
    assert read(tmp_path, "m.parquet").samples["sample_id"].tolist() == ["b", "a"]


def test_small_files_do_not_become_large_tables(tmp_path):
    one = pa.array(["x" * 1_000_000])
    many = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, dtype=np.int32)), one)
    with pytest.raises(BadManifest, match="would unpack to more than 256 MB"):
        parquet(tmp_path, mood=many)
    with pytest.raises(BadManifest, match="spans 1048576 rows and 16384 columns"):
        read(tmp_path, "m.xlsx", workbook([], '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'))


def workbook(table, more=""):
    """The least of an Excel file: texts, numbers, truths, and durations as its style 1."""

    def cell(at, value):
        if isinstance(value, bool):
            return f'<c r="{at}" t="b"><v>{value:d}</v></c>'
        if isinstance(value, dt.timedelta):
            return f'<c r="{at}" s="1"><v>{value / dt.timedelta(days=1)}</v></c>'
        if isinstance(value, str):
            kind = "e" if value.startswith("#") else "inlineStr"
            return f'<c r="{at}" t="{kind}">{f"<v>{value}</v>" if kind == "e" else f"<is><t>{value}</t></is>"}</c>'
        return "" if value is None else f'<c r="{at}"><v>{value}</v></c>'

    lines = (
        f'<row r="{r}">{"".join(cell(f"{chr(65 + c)}{r}", v) for c, v in enumerate(row))}</row>'
        for r, row in enumerate(table, 1)
        if row
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    sheets = "".join(f'<sheet name="{n}" sheetId="{i}" r:id="r{i}"/>' for i, n in enumerate(("empty", "data"), 1))
    links = "".join(f'<Relationship Id="r{i}" Type="{office}/worksheet" Target="worksheets/{i}.xml"/>' for i in (1, 2))
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{links}'
        f'<Relationship Id="s" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="46"/></cellXfs></styleSheet>',
        "xl/worksheets/1.xml": f'<worksheet xmlns="{main}"><sheetData/></worksheet>',
        "xl/worksheets/2.xml": f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}{more}</sheetData></worksheet>',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0"?>' + text)
    return packed.getvalue()


def test_excel(tmp_path):
    table = [
        [],
        ["Sample_ID", "text", "speaker", "mood", "v", "end", "ok"],
        [1, "hi", 7.0, "joy", 0.5, dt.timedelta(seconds=90), True],
        [None] * 7,
        ["007", "you", None, "#REF!", 2, "0:02", False],
    ]
    found = read(tmp_path, "m.xlsx", workbook(table))
    got = found.samples
    assert got["sample_id"].tolist() == ["1", "007"] and got["speaker"][0] == "7"
    assert got["v"].tolist() == [0.5, 2] and got["end"].tolist() == [90, 2] and got["ok"].tolist() == [True, False]
    assert got["mood"].isna().tolist() == [False, True]
    assert "sheet 'data' is read" in found.notes[0] or found.notes
    with pytest.raises(BadManifest, match="no sheet 'Data'; it has 'empty', 'data'"):
        read(tmp_path, "m.xlsx", sheet="Data")
    with pytest.raises(BadManifest, match="not unique: '1' in rows 3, 5"):
        read(tmp_path, "m.xlsx", workbook([*table[:4], [1, "you"]]))


def test_numbers_of_json_are_ids_as_written(tmp_path):
    lines = [{"sample_id": 12345678901234567890, "text": "x", "speaker": 1.0, "v": 1.5}, {"sample_id": 2, "text": "y"}]
    got = read(tmp_path, "m.jsonl", "\n".join(map(json.dumps, lines))).samples
    assert got["sample_id"].tolist() == ["12345678901234567890", "2"] and got["speaker"][0] == "1.0"
    assert got["v"][0] == 1.5


def test_ids_that_became_floats_are_refused(tmp_path):
    with pytest.raises(BadManifest, match="column 'speaker' holds 1234567890123456768 as a float"):
        parquet(tmp_path, speaker=pa.array([1234567890123456789.0, 1.0]))


@pytest.mark.parametrize("name", ["shard", "index", "content", "_position", "_shard", "outcome", "select", "order"])
def test_labels_may_be_called_anything(name):
    table = pd.DataFrame({"sample_id": ["a", "b"], "text": ["x", "y"], name: ["p", "q"]})
    assert samples_frame(table, "d")[name].tolist() == ["p", "q"]
