"""Who said what, and when, as every kind of transcript says it."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlake.data.errors import BadManifest
from affectlake.data.transcripts import FORMATS, Turn, beside, read_turns
from affectlake.data.transcripts.turns import joined, overlapping

TEAMS = """WEBVTT
Language: de

NOTE made by a machine

00:01.000 --> 00:02.500
<v Anna Müller>Hallo <i>du</i></v>
<v Bert>Ja &amp; nein</v>

1
00:00:03.000 --> 00:00:04.000
<v Bert>Gut.</v>
"""
ZOOM = """WEBVTT

1
00:00:01.000 --> 00:00:02.000
Anna Müller: Hi.

2
00:00:02.100 --> 00:00:03.000
张三: Well: 你好

3
00:00:04.000 --> 01:00:05.250
Anna Müller: ok

4
01:00:05.500 --> 01:00:06.000
张三: yes
"""
SRT = "1\n00:00:01,000 --> 00:00:02,500\nThe point is: no.\n\n2\n00:00:03,000 --> 00:00:04,000\nÄh, <b>well</b>.\n"
TEXTGRID = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Anna"
        xmin = 0
        xmax = 3
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "Grüß ""Gott"""
        intervals [2]:
            xmin = 1.5
            xmax = 3
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "Bert"
        xmin = 0
        xmax = 3
        intervals: size = 1
        intervals [1]:
            xmin = 1
            xmax = 3
            text = "Servus"
    item [3]:
        class = "IntervalTier"
        name = "Anna - words"
        xmin = 0
        xmax = 3
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "Grüß"
'''
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1750"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="l" TIER_ID="utterances" PARTICIPANT="Anna"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">
<ANNOTATION_VALUE>hej</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="l" PARENT_REF="utterances" TIER_ID="english"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>hi</ANNOTATION_VALUE></REF_ANNOTATION>
</ANNOTATION></TIER>
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="l" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""
RTTM = """SPEAKER call 1 1.500 1.0 <NA> <NA> SPEAKER_01 <NA> <NA>
NON-SPEECH call 1 0 1 <NA> <NA> <NA> <NA> <NA>
SPEAKER call 1 0.5 1.25 <NA> <NA> anna <NA> <NA>
"""
CTM = ";; comment\ncall 1 0.6 0.2 oh 0.9\ncall 1 0.9 0.2 no 0.9\ncall 1 1.8 0.3 yes 0.8\n"
WHISPER = '{"language": "de", "segments": [{"start": 0, "end": 1.23456, "text": " Hallo.", "speaker": "SPEAKER_00"}]}'


def read(folder, name, text, written="utf-8", **how):
    path = folder / name
    path.write_bytes(text.encode(written))
    return read_turns(path, **how)


CASES = {
    "teams.vtt": (
        TEAMS,
        [
            Turn(1.0, 2.5, "Hallo du", "Anna Müller", "de"),
            Turn(1.0, 2.5, "Ja & nein", "Bert", "de"),
            Turn(3.0, 4.0, "Gut.", "Bert", "de"),
        ],
    ),
    "zoom.vtt": (
        ZOOM,
        [
            Turn(1.0, 2.0, "Hi.", "Anna Müller"),
            Turn(2.1, 3.0, "Well: 你好", "张三"),
            Turn(4.0, 3605.25, "ok", "Anna Müller"),
            Turn(3605.5, 3606.0, "yes", "张三"),
        ],
    ),
    "film.en.srt": (SRT, [Turn(1.0, 2.5, "The point is: no.", "", "en"), Turn(3.0, 4.0, "Äh, well.", "", "en")]),
    "talk.TextGrid": (TEXTGRID, [Turn(0.0, 1.5, 'Grüß "Gott"', "Anna"), Turn(1.0, 3.0, "Servus", "Bert")]),
    "talk.eaf": (EAF, [Turn(0.5, 1.75, "hej", "Anna")]),
    "call.rttm": (RTTM, [Turn(0.5, 1.75, "", "anna"), Turn(1.5, 2.5, "", "SPEAKER_01")]),
    "call.ctm": (CTM, [Turn(0.6, 1.1, "oh no"), Turn(1.8, 2.1, "yes")]),
    "call.json": (WHISPER, [Turn(0.0, 1.235, "Hallo.", "SPEAKER_00", "de")]),
}


@pytest.mark.parametrize("name", CASES)
def test_turns(tmp_path, name):
    text, expected = CASES[name]
    assert read(tmp_path, name, text) == expected


def test_every_kind_is_tried():
    assert {f".{name.rsplit('.', 1)[1].lower()}" for name in CASES} == set(FORMATS)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("name", ["teams.vtt", "film.en.srt", "talk.TextGrid"])
def test_encodings_are_found_out(tmp_path, name, encoding):
    text, expected = CASES[name]
    assert read(tmp_path, name, text, encoding) == expected


def test_an_encoding_can_be_named(tmp_path):
    assert read(tmp_path, "a.srt", SRT, "latin2", encoding="iso8859-2")[1].text == "Äh, well."


def test_words_come_from_beside(tmp_path):
    (tmp_path / "call.ctm").write_text(CTM)
    assert [t.text for t in read(tmp_path, "call.rttm", RTTM)] == ["oh no", "yes"]


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("a.vtt", "no such thing\n", "no VTT file"),
        ("a.vtt", "WEBVTT\n\n99:99:99.000 --> x\nhi\n", "line 3: .* has no two times"),
        ("a.srt", "1\n00:00:02,000 --> 00:00:01,000\nback in time\n", r"a turn from 2\.0 to 1\.0 s"),
        ("a.srt", "1\n00:00:01,5 --> 00:00:02,000\nhalf?\n", r"line 2: '00:00:01,5 --> 00:00:02,000' has no two times"),
        ("a.srt", "1\n0:00:01,000 --> 0:00:02,000\nx\n\n2\n-0:00:02,000 --> 0:00:03,000\ny\n", "line 6: '-0:00:02,000"),
        ("a.TextGrid", "junk", "no TextGrid"),
        ("a.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nitem [1]:', "cannot be understood"),
        ("a.eaf", "<a>", "no ELAN file"),
        ("a.eaf", "<a/>", "no ELAN file"),
        ("a.rttm", "SPEAKER call 1 0.5", "line 1 has 4 fields"),
        ("a.rttm", "SPEAKER call 1 x 1 <NA> <NA> anna <NA>", "line 1: 'x' is no number of seconds"),
        ("a.rttm", "SPEAKER call 1 nan 1 <NA> <NA> anna <NA>", "a turn from nan"),
        ("a.ctm", "call 1 0.5", "line 1 has 3 fields"),
        ("a.json", "{", "no JSON"),
        ("a.json", "[" * 100_000, "no JSON"),
        ("a.json", '{"text": "hi"}', "a list 'segments'"),
        ("a.json", '{"segments": [{"text": "hi"}]}', "'start' and 'end'"),
        ("a.json", '{"segments": [7]}', "'start' and 'end'"),
        ("a.docx", "", r"known are \.vtt, \.srt"),
    ],
)
def test_what_is_none_is_one_line(tmp_path, name, text, said):
    with pytest.raises(BadManifest, match=said) as refused:
        read(tmp_path, name, text)
    assert "\n" not in str(refused.value)


def test_turns_that_last_no_time_are_told(tmp_path, caplog):
    text = '{"segments": [{"start": 1, "end": 1, "text": "x"}, {"start": 1, "end": 2, "text": "y"}]}'
    assert [t.text for t in read(tmp_path, "a.json", text)] == ["y"]
    assert "1 of 2 turns last no time" in caplog.text


def test_the_one_beside(tmp_path):
    for name in ("call.wav", "call.de.vtt", "call2.srt", "call-b.vtt", "call.txt", "call.ctm.bak"):
        (tmp_path / name).touch()
    assert beside(tmp_path / "call.wav") == tmp_path / "call.de.vtt"
    assert beside(tmp_path / "none.wav") is None
    (tmp_path / "call.rttm").touch()
    with pytest.raises(BadManifest, match=r"several transcripts lie beside it \(call\.de\.vtt, call\.rttm\)"):
        beside(tmp_path / "call.wav")


def test_rttm_with_its_words_is_one_transcript(tmp_path):
    for name in ("call.wav", "call.rttm", "call.ctm"):
        (tmp_path / name).touch()
    assert beside(tmp_path / "call.wav") == tmp_path / "call.rttm"


spans = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda s: Turn(float(s[0]), float(s[0] + s[1])))


@given(st.lists(spans, max_size=12))
def test_who_overlaps_is_who_shares_time_with_another(turns):
    turns = sorted(turns)
    shares = [
        any(i != j and a.start < b.end and b.start < a.end for j, b in enumerate(turns)) for i, a in enumerate(turns)
    ]
    assert overlapping(turns) == shares


@given(st.lists(spans, max_size=12), st.floats(0, 5))
def test_joining_loses_no_time_and_leaves_pauses(words, pause):
    turns = joined(words, pause)
    assert all(any(t.start <= w.start and w.end <= t.end for t in turns) for w in words)
    assert all(b.start - a.end > pause for a, b in pairwise(turns))


def test_a_file_of_several_recordings_is_read_for_the_one_that_is_meant(tmp_path):
    """By the recording's name where the file has another one; of a file of one recording the name does not count."""
    line = "SPEAKER {} 1 {} 1.00 <NA> <NA> {} <NA> <NA>"
    made = [line.format(name, start, who) for name, start, who in (("a", 1, "ann"), ("b", 2, "ben"), ("a", 3, "<NA>"))]
    path = tmp_path / "all.rttm"
    path.write_text("\n".join([";; who speaks", *made]))
    (tmp_path / "all.ctm").write_text("a 1 1.2 0.2 oh\nb 1 1.3 0.2 not\nb 1 2.2 0.2 ben's\n")
    assert [(t.start, t.speaker, t.text) for t in read_turns(path, recording=("a",))] == [(1, "ann", "oh"), (3, "", "")]
    assert [t.text for t in read_turns(path, recording=("x", "b"))] == ["ben's"]
    with pytest.raises(BadManifest, match=r"tells of 2 recordings \('a', 'b'\), none of which is called 'c'"):
        read_turns(path, recording=("c",))
    path.write_text(made[0])
    (tmp_path / "all.ctm").unlink()
    assert len(read_turns(path, recording=("c",))) == 1


def test_what_has_no_time_is_left_out_and_said(tmp_path, caplog):
    segments = [{"start": 1, "end": 2, "text": "Hi."}, {"start": None, "end": None, "text": "lost"}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"segments": segments}))
    assert [t.text for t in read_turns(path)] == ["Hi."] and "1 segments have no times" in caplog.text


def test_elan_lays_annotations_without_times_between_their_neighbours(tmp_path, caplog):
    pairs = [("t1", "t2"), ("t2", "t3"), ("t3", "t4"), ("t4", "t5")]
    annotations = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{i}" TIME_SLOT_REF1="{a}" TIME_SLOT_REF2="{b}">'
        f"<ANNOTATION_VALUE>{i}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
        for i, (a, b) in enumerate(pairs)
    )
    slots = {"t1": ' TIME_VALUE="1000"', "t2": "", "t3": "", "t4": ' TIME_VALUE="4000"', "t5": ""}
    order = "".join(f'<TIME_SLOT TIME_SLOT_ID="{name}"{value}/>' for name, value in slots.items())
    schema = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="x"'
    path = tmp_path / "a.eaf"
    for about, turns in ((schema, [(1, 2), (2, 3), (3, 4)]), ("", None)):
        path.write_text(
            f'<ANNOTATION_DOCUMENT AUTHOR="" DATE="" FORMAT="3.0" VERSION="3.0" {about}><HEADER/><TIME_ORDER>{order}'
            f'</TIME_ORDER><TIER TIER_ID="A" LINGUISTIC_TYPE_REF="u">{annotations}</TIER></ANNOTATION_DOCUMENT>'
        )
        if turns:
            assert [
                (t.start, t.end) for t in read_turns(path)
            ] == turns and "1 annotations have no times" in caplog.text
        else:
            with pytest.raises(BadManifest, match="no ELAN file, it lacks"):
                read_turns(path)


def test_codes_of_other_subtitles_are_no_words(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<i>Oh</i> {no}\n")
    assert read_turns(path)[0].text == "Oh {no}"
