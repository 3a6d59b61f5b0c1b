"""Encodings of tables: told by what comes out, refused where two of them say something."""

import pytest

from affectlake.data.encodings import known, read_text
from affectlake.data.errors import BadManifest

HEADER = "sample_id,text,speaker,emotion\n"
WRITTEN = [
    ("gb18030", "1,我们明天去公园吧,小刚,快乐\n2,他为什么不来,小丽,生气\n"),
    ("gb18030", "1,a,s,高兴\n2,b,t,悲伤\n3,c,u,愤怒\n"),
    ("big5", "1,我們明天去公園吧,小剛,快樂\n2,他為什麼不來,小麗,生氣\n"),
    ("cp932", "1,明日公園に行きましょう,次郎,喜び\n2,どうして来ないの,花子,怒り\n"),
    ("euc_jp", "1,明日公園に行きましょう,次郎,喜び\n2,どうして来ないの,花子,怒り\n"),
    ("iso2022_jp", "1,明日公園に行きましょう,次郎,喜び\n"),
    ("cp949", "1,내일 공원에 가자,철수,기쁨\n2,왜 안 오는 거야,영희,분노\n"),
    ("cp1251", "1,Завтра пойдём в парк,Иван,радость\n2,Почему он не пришёл,Ольга,гнев\n"),
    ("koi8_r", "1,Завтра пойдём в парк,Иван,радость\n2,Почему он не пришёл,Ольга,гнев\n"),
    ("cp866", "1,Завтра пойдём в парк,Иван,радость\n2,Почему он не пришёл,Ольга,гнев\n"),
    ("cp1251", "1,Завтра йдемо до парку,Іван,радість\n2,Чому він не прийшов,Ольга,гнів\n"),
    ("cp1250", "1,Jutro idziemy do parku,Wacław,radość\n2,Dlaczego nie przyszedł,Żaneta,złość\n"),
    ("cp1250", "1,Zítra půjdeme do parku,Jiří,radost\n2,Proč nepřišel,Růžena,hněv\n"),
    ("cp1252", "1,On y va demain,Hélène,colère\n2,C’est déjà fini,François,joie\n"),
    ("cp1252", "1,Morgen gehen wir über die Brücke,Jürgen,Ärger\n2,Schön,Käthe,Freude\n"),
    ("cp1252", "1,I don’t know,ann,joy\n2,“Well” – no,bob,joy\n"),
    ("mac_roman", "1,On y va demain,Hélène,colère\n2,C’est déjà fini,François,joie\n"),
    ("cp1253", "1,Πάμε στο πάρκο αύριο,Νίκος,χαρά\n2,Γιατί δεν ήρθε,Ελένη,θυμός\n"),
    ("cp1254", "1,Yarın parka gidiyoruz,Işıl,öfke\n2,Niçin gelmedi,Uğur,şaşkınlık\n"),
    ("cp1255", "1,מחר נלך לפארק,דוד,שמחה\n2,למה הוא לא בא,רות,כעס\n"),
    ("cp1256", "1,سنذهب غدا إلى الحديقة,علي,سعادة\n2,لماذا لم يأت,ليلى,غضب\n"),
    ("cp874", "1,พรุ่งนี้ไปสวนกันเถอะ,สมชาย,สุข\n2,ทำไมเขาไม่มา,มาลี,โกรธ\n"),
]


@pytest.mark.parametrize(("encoding", "rows"), WRITTEN)
def test_what_systems_of_the_world_write(encoding, rows):
    assert read_text((HEADER + rows).encode(encoding)).text == HEADER + rows


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_unicode_with_and_without_a_mark(encoding, mark):
    text = HEADER + "1,明日,é,ж\n"
    assert read_text((mark + text).encode(encoding)).text == text


@pytest.mark.parametrize("pasted", [b"\x93so\x94", b"it\x92s", b"so \x96 what"])
def test_a_few_pasted_bytes_do_not_spoil_utf8(pasted):
    found = read_text("Zoë et Noël à la plage\n".encode() + pasted)
    assert found.encoding == "utf-8" and found.text.endswith(pasted.decode("cp1252"))


def test_what_cannot_be_told_is_refused_with_what_it_may_be():
    with pytest.raises(
        BadManifest, match="m.csv is not UTF-8, and its encoding cannot be told.*--encoding.*may be.*cp1250"
    ):
        read_text("id,x\n1,sreća\n2,tuga\n".encode("cp1250"), "m.csv")  # or Danish


def test_an_encoding_that_is_named_is_used():
    raw = "1,高兴\n".encode("gbk")
    assert read_text(raw, encoding="GBK").text == "1,高兴\n"
    assert read_text("é".encode("mac_roman"), encoding="macroman").text == "é"
    with pytest.raises(BadManifest, match="m.csv is not in utf-8: bytes b8 in line 1"):
        read_text(raw, "m.csv", "utf-8")
    with pytest.raises(BadManifest, match="unknown encoding 'shift-jus', did you mean 'shift_jis'"):
        known("shift-jus")


def test_bytes_are_no_text():
    for raw in (b"RIFF\0\0\0\0WAVE", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"):
        with pytest.raises(BadManifest, match="not a text file"):
            read_text(raw, "m.csv")
