"""A contract for every loader, run over the registry: each new file is tested by its entry in LAYOUTS."""

import errno
import hashlib
import os
import re

import numpy as np
import pytest

from affectlake.data import datasets
from affectlake.data.dataset import COMMON4, COMMON7
from affectlake.data.datasets import fer2013 as fer2013_corpus
from affectlake.data.errors import BadManifest, UnknownName
from affectlake.data.samples import CORE, samples_frame

NAMES = list(datasets.datasets())


def put(root, *names, content=b""):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def ravdess(root):
    put(
        root,
        "Audio_Speech_Actors_01-24/Actor_01/03-01-05-01-02-01-01.wav",
        "Audio_Speech_Actors_01-24/Actor_02/03-01-01-01-01-02-02.wav",
        "Audio_Song_Actors_01-24/Actor_02/03-02-01-01-01-02-02.wav",
        "Video_Speech_Actor_01/Actor_01/01-01-05-01-02-01-01.mp4",
        "Video_Speech_Actor_01/Actor_01/02-01-05-01-02-01-01.mp4",
        "__MACOSX/Actor_01/03-01-04-01-02-01-01.wav",
        "Actor_01/._03-01-03-01-02-01-01.wav",
    )


def meld(root):
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
    row = '{i},"{text}",{speaker},{emotion},neutral,0,{i},8,21,"00:16:16,059","00:16:21,731"\n'
    tables = {
        "train": row.format(i=0, text="It\x92s NA, né", speaker="Joey", emotion="joy").encode(),
        "dev": row.format(i=0, text="It’s", speaker="Ross", emotion="anger").encode("cp1252"),
        "test": (
            row.format(i=0, text="null", speaker="Joey", emotion="neutral")
            + row.format(i=1, text="No!", speaker="The Interviewer", emotion="sadness")
        ).encode("utf-8-sig"),
    }
    for split, rows in tables.items():
        put(root, f"MELD.Raw/{split}_sent_emo.csv", content=header.encode() + rows)
    put(root, "MELD.Raw/train_splits/dia0_utt0.mp4", "MELD.Raw/output_repeated_splits_test/dia0_utt1.mp4")


def crema_d(root):
    put(
        root,
        "AudioWAV/1001_DFA_ANG_XX.wav",
        "AudioWAV/1040_ITH_SAD_X.wav",
        "AudioMP3/1001_DFA_ANG_XX.mp3",
        "VideoFlash/1001_DFA_ANG_XX.flv",
    )
    put(root, "VideoDemographics.csv", content="ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n")


def emodb(root):
    put(root, "wav/03a01Fa.wav", "wav/16b10Lb.wav", "lablaut/03a01Fa.lablaut")


def iemocap(root):
    start = root / "IEMOCAP_full_release" / "Session1"
    wav = "sentences/wav/Ses01F_impro01/Ses01F_impro01_{}.wav"
    put(start, *(wav.format(turn) for turn in ("F000", "M000", "F001")))
    rating = "[{} - {}]\tSes01F_impro01_{}\t{}\t[2.5000, 3.0000, 3.5000]\nC-E1:\tNeutral;\t()\n\n"
    put(
        start,
        "dialog/EmoEvaluation/Ses01F_impro01.txt",
        content="% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        + rating.format("6.2901", "8.2357", "F000", "neu")
        + rating.format("11.9000", "13.0000", "F001", "xxx")
        + rating.format("10.0100", "11.3925", "M000", "exc"),
    )
    put(start, "dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt", content="Ses01F_impro01_F000 :Anger; ()\n")
    put(
        start,
        "dialog/transcriptions/Ses01F_impro01.txt",
        content="Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\nSes01F_impro01_M000 [010.0100-011.3925]: Yeah.\n",
    )


def savee(root):
    put(
        root,
        "AudioData/DC/a01.wav",
        "AudioData/KL/su15.wav",
        "AudioVisualClip/DC/a01.avi",
        "ALL/JE_n03.wav",
        "x/n01.wav",
    )


def tess(root):
    put(root, "TESS/OAF_angry/OAF_back_angry.wav", "TESS/OA_bite_neutral.wav", "YAF_pleasant_surprised/YAF_back_ps.wav")
    put(root, "TESS/TESS/OAF_angry/OAF_back_angry.wav")


def cmu_mosi(root):
    put(root, "MOSI/Raw/03bSnISJMiM/1.mp4", "MOSI/Raw/03bSnISJMiM/11.mp4", "MOSI/Raw/-3g5yACwYnA/1.mp4")
    put(
        root,
        "MOSI/label.csv",
        content="video_id,clip_id,text,label,annotation,mode\n"
        "03bSnISJMiM,11,A LOT OF SAD PARTS,-2.4,Negative,train\n"
        '03bSnISJMiM,1,"ANYHOW, IT WAS REALLY GOOD",2.4,Positive,train\n'
        "-3g5yACwYnA,1,NA,0,Neutral,valid\n"
        "_dI--eQ6qVU,7,THE CLIP IS GONE,1,Positive,test\n",
    )


def ch_sims(root):
    put(root, "Raw/video_0001/0001.mp4", "Raw/video_0001/0002.mp4")
    put(
        root,
        "label.csv",
        content="\ufeffvideo_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"
        "video_0001,1,我不想嫁给李茶,-0.8,-0.6,-0.4,-0.8,Negative,train\n"
        "video_0001,0002,不得了啊,1.0,0.8,1.0,1.0,Positive,test\n",
    )


def fer2013(root):
    put(root, "archive/train/angry/Training_3908.jpg", "archive/test/happy/PrivateTest_10131363.jpg")
    put(root, "archive/test/happy/PublicTest_10131363.jpg", "archive/train/sad/im0.png", "archive/train/fear/im0.png")
    put(root, "archive/train/bored/im0.png", "archive/other/sad/im0.png")


def ckplus(root):
    frames = "cohn-kanade-images/S005/001/S005_001_{:08}.png"
    put(root, *(frames.format(i) for i in (1, 2, 11)), "cohn-kanade-images/S010/002/S010_002_00000001.png")
    put(root, "Emotion/S005/001/S005_001_00000011_emotion.txt", content="   5.0000000e+00\n")


# Writes a tiny tree of the official layout.
LAYOUTS = {
    "ch-sims": ch_sims,
    "ckplus": ckplus,
    "cmu-mosei": cmu_mosi,
    "cmu-mosi": cmu_mosi,
    "crema-d": crema_d,
    "emodb": emodb,
    "fer2013": fer2013,
    "iemocap": iemocap,
    "meld": meld,
    "ravdess": ravdess,
    "savee": savee,
    "tess": tess,
}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def loaded(name, tmp_path):
    LAYOUTS[name](tmp_path)
    return datasets.get(name).load(tmp_path)


def test_names_are_module_names(name):
    assert datasets.get(name).name == name


def test_unknown_name():
    with pytest.raises(UnknownName, match="did you mean 'ravdess'"):
        datasets.get("ravdes")


def test_every_statement_is_made(name):
    dataset = datasets.get(name)
    for attribute in ("title", "licence", "citation", "access", "layout"):
        assert getattr(dataset, attribute).strip()
    assert dataset.url.startswith("https://")
    assert dataset.labels


def test_common_classes(name):
    dataset = datasets.get(name)
    assert set(dataset.common.values()) <= set(COMMON7)
    assert set(dataset.common) <= set(dataset.labels.get("emotion", ()))
    for column, classes in dataset.label_maps.items():
        assert set(classes.values()) <= set({"emotion4": COMMON4, "emotion7": COMMON7}[column])


def test_checksums_are_well_formed(name):
    for download in datasets.get(name).downloads:
        assert download.url.startswith(("https://", "http://"))
        if download.hash:
            kind, digest = download.hash.split(":")
            assert len(digest) == {"md5": 32, "sha256": 64}[kind]
        assert download.size > 0


def test_a_tiny_official_tree_loads(name, loaded):
    assert list(loaded.columns[: len(CORE)]) == list(CORE)
    assert loaded["dataset"].eq(name).all()
    assert len(loaded) >= 2
    uris = loaded[["audio", "image", "video"]].stack().dropna()
    assert uris.map(os.path.isabs).all() and uris.map(os.path.exists).all()
    assert samples_frame(loaded, name).equals(loaded)


def test_labels_are_the_stated_ones(name, loaded):
    dataset = datasets.get(name)
    for column, classes in dataset.labels.items():
        assert column in loaded, column
        if classes:
            assert set(loaded[column].dropna()) <= set(classes)
    for column in dataset.label_maps:
        assert loaded[column].notna().any()


def test_splits_are_the_stated_ones(name, loaded):
    official = datasets.get(name).official_split
    assert loaded["split"].notna().all() if official else loaded["split"].isna().all()
    assert set(loaded["split"].dropna()) <= {"train", "dev", "test"}


def test_loading_twice_gives_the_same(name, loaded, tmp_path):
    assert datasets.get(name).load(tmp_path).equals(loaded)


def test_a_wrong_folder_says_what_was_sought_and_found(name, tmp_path):
    put(tmp_path, "holiday/beach.xyz", "notes.md", "more.md")
    with pytest.raises(BadManifest) as error:
        datasets.get(name).load(tmp_path)
    assert str(error.value).startswith(f"{name}: ")
    assert "looked" in str(error.value)
    assert "1 folder (holiday), 2 files (.md 2)" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_folder(name, tmp_path):
    with pytest.raises(BadManifest, match="no folder"):
        datasets.get(name).load(tmp_path / "gone")


def test_a_partial_corpus_is_reported(name, loaded, tmp_path, caplog):
    if datasets.get(name).expected:
        datasets.get(name).load(tmp_path)
        assert f"{name} is partial: {len(loaded)} of {datasets.get(name).expected}" in caplog.text


def test_ravdess_recordings_of_one_performance_are_one_sample(tmp_path):
    ravdess(tmp_path)
    got = datasets.get("ravdess").load(tmp_path).set_index("sample_id")
    assert list(got.index) == ["01-01-01-01-01-02-02", "01-01-05-01-02-01-01"]
    angry = got.loc["01-01-05-01-02-01-01"]
    assert angry["audio"].endswith("03-01-05-01-02-01-01.wav")
    assert angry["video"].endswith("/01-01-05-01-02-01-01.mp4")
    assert (angry["emotion"], angry["speaker"], angry["gender"]) == ("angry", "ravdess_01", "male")
    assert angry["text"] == "Dogs are sitting by the door."
    assert got["emotion"].tolist() == ["neutral", "angry"]


def test_ravdess_as_shared(shared_data):
    from affectlake.data.manifest import read_manifest

    got = datasets.get("ravdess").load(shared_data / "ravdess_audio")
    manifest = read_manifest(shared_data / "ravdess_audio" / "manifest.csv", "ravdess")
    manifest = manifest.sort_values("sample_id", ignore_index=True)
    assert len(got) == 1440
    for column in ("sample_id", "audio", "speaker", "gender", "emotion", "intensity", "statement", "text"):
        assert got[column].equals(manifest[column]), column


def test_ravdess_films_and_folders_of_frames(shared_data):
    got = datasets.get("ravdess").load(shared_data / "ravdess_actor01_video")
    assert len(got) == 52
    assert got["video"].str.endswith(".mp4").sum() == 4


def test_meld_text_and_clips(tmp_path):
    meld(tmp_path)
    got = datasets.get("meld").load(tmp_path).set_index("sample_id")
    assert list(got.index) == ["train_dia0_utt0", "dev_dia0_utt0", "test_dia0_utt0", "test_dia0_utt1"]
    assert got["text"].tolist() == ["It’s NA, né", "It’s", "null", "No!"]
    assert got["video"].notna().tolist() == [True, False, False, True]
    assert got["dialogue"].tolist() == ["train_0", "dev_0", "test_0", "test_0"]
    assert got["emotion7"].tolist() == ["happiness", "anger", "neutral", "sadness"]


def test_meld_without_a_column_names_it(tmp_path):
    put(tmp_path, "train_sent_emo.csv", content="Utterance,Speaker\nHi,Joey\n")
    with pytest.raises(BadManifest, match="train_sent_emo.csv: looked for column.s. 'Emotion'.*found 'Utterance'"):
        datasets.get("meld").load(tmp_path)


def test_meld_checksums_are_those_of_the_shared_tables(shared_data):
    for download in datasets.get("meld").downloads:
        table = (shared_data / "meld_text" / download.url.rsplit("/", 1)[-1]).read_bytes()
        assert download.hash == f"sha256:{hashlib.sha256(table).hexdigest()}"
        assert download.size == len(table)


def test_meld_as_shared(shared_data):
    got = datasets.get("meld").load(shared_data / "meld_text")
    assert got["split"].value_counts().to_dict() == {"train": 9989, "test": 2610, "dev": 1109}
    assert set(got["emotion"]) == set(datasets.get("meld").labels["emotion"])
    assert got.groupby("dialogue")["turn"].apply(lambda t: t.is_monotonic_increasing).all()
    assert not got["text"].str.contains(r"[\x80-\x9f]").any()


def test_crema_d_sound_and_film_are_one_sample(tmp_path):
    crema_d(tmp_path)
    got = datasets.get("crema-d").load(tmp_path).set_index("sample_id")
    assert list(got.index) == ["1001_DFA_ANG_XX", "1040_ITH_SAD_X"]
    anger = got.loc["1001_DFA_ANG_XX"]
    assert anger["audio"].endswith("AudioWAV/1001_DFA_ANG_XX.wav") and anger["video"].endswith(".flv")
    assert (anger["emotion"], anger["intensity"], anger["gender"], anger["age"]) == ("anger", "unspecified", "male", 51)


def test_crema_d_votes_without_media_are_not_the_corpus(shared_data):
    with pytest.raises(BadManifest, match="looked in .* for AudioWAV .*found 1 folder"):
        datasets.get("crema-d").load(shared_data / "cremad_votes")


def test_emodb_codes(tmp_path):
    emodb(tmp_path)
    got = datasets.get("emodb").load(tmp_path)
    assert got["emotion"].tolist() == ["happiness", "boredom"]
    assert got["emotion7"].fillna("none").tolist() == ["happiness", "none"]
    assert got["gender"].tolist() == ["male", "female"]
    assert set(got["language"]) == {"de"}


def test_iemocap_turns_speakers_and_ratings(tmp_path):
    iemocap(tmp_path)
    got = datasets.get("iemocap").load(tmp_path)
    assert got["sample_id"].str[-4:].tolist() == ["F000", "M000", "F001"]
    assert got["turn"].tolist() == [0, 1, 2]
    assert got["speaker"].tolist() == ["iemocap_01F", "iemocap_01M", "iemocap_01F"]
    assert got["emotion7"].fillna("none").tolist() == ["neutral", "happiness", "none"]
    assert got["text"].fillna("none").tolist() == ["Excuse me.", "Yeah.", "none"]
    assert got.loc[0, ["valence", "arousal", "dominance"]].tolist() == [2.5, 3.0, 3.5]
    assert got["audio"].notna().all() and got["video"].isna().all()


def test_savee_speaker_is_the_folder_or_the_prefix(tmp_path):
    savee(tmp_path)
    got = datasets.get("savee").load(tmp_path)
    assert got["sample_id"].tolist() == ["DC_a01", "JE_n03", "KL_su15"]
    assert got["speaker"].tolist() == ["savee_DC", "savee_JE", "savee_KL"]
    assert got["video"].notna().tolist() == [True, False, False]


def test_tess_words_and_copies(tmp_path):
    tess(tmp_path)
    got = datasets.get("tess").load(tmp_path)
    assert got["speaker"].tolist() == ["tess_OAF", "tess_OAF", "tess_YAF"]
    assert got["text"].tolist() == ["Say the word back.", "Say the word bite.", "Say the word back."]
    assert got["emotion7"].tolist() == ["anger", "neutral", "surprise"]


def test_cmu_mosi_clips_splits_and_scores(tmp_path):
    cmu_mosi(tmp_path)
    got = datasets.get("cmu-mosi").load(tmp_path).set_index("sample_id")
    assert list(got.index) == ["03bSnISJMiM_11", "03bSnISJMiM_1", "-3g5yACwYnA_1", "_dI--eQ6qVU_7"]
    assert got["split"].tolist() == ["train", "train", "dev", "test"]
    assert got["sentiment_score"].tolist() == [-2.4, 2.4, 0, 1]
    assert got["text"].iloc[2] == "NA"
    assert got["video"].iloc[0].endswith("03bSnISJMiM/11.mp4") and got["video"].isna().iloc[3]


def test_ch_sims_is_chinese_and_has_labels_of_each_modality(tmp_path):
    ch_sims(tmp_path)
    got = datasets.get("ch-sims").load(tmp_path)
    assert set(got["language"]) == {"zh"} and got["text"].iloc[0] == "我不想嫁给李茶"
    assert got["video"].str[-8:].tolist() == ["0001.mp4", "0002.mp4"]
    labels = ["sentiment_score", "sentiment_text", "sentiment_audio", "sentiment_video"]
    assert got.loc[0, labels].tolist() == [-0.8, -0.6, -0.4, -0.8]


def test_ch_sims_without_a_header(tmp_path):
    ch_sims(tmp_path)
    (tmp_path / "label.csv").rename(tmp_path / "other.txt")
    rows = "video_0001,0001,我不想嫁给李茶,-0.8,-0.6,-0.4,-0.8,Negative,train\nvideo_0001,2,好,0,0,0,0,Neutral,valid\n"
    put(tmp_path, "label.csv", content=rows)
    got = datasets.get("ch-sims").load(tmp_path)
    assert got["split"].tolist() == ["train", "dev"] and got["text"].iloc[0] == "我不想嫁给李茶"
    labels = ["sentiment_score", "sentiment_text", "sentiment_audio", "sentiment_video"]
    assert got.loc[0, labels].tolist() == [-0.8, -0.6, -0.4, -0.8]
    assert got["video"].str[-8:].tolist() == ["0001.mp4", "0002.mp4"]


def fer_table(*rows: tuple[str, str, int]) -> str:
    return "emotion,pixels,Usage\n" + "".join(f"{e},{' '.join(['7'] * n)},{usage}\n" for e, usage, n in rows)


def test_fer2013_table_is_saved_as_pictures(tmp_path):
    cv2 = pytest.importorskip("cv2")
    put(tmp_path, "fer2013.csv", content=fer_table(("0", "Training", 2304), ("6", "PrivateTest", 2304)))
    with pytest.raises(BadManifest, match="saved as such by python -m affectlake.data.datasets.fer2013"):
        datasets.get("fer2013").load(tmp_path)
    assert fer2013_corpus.save(tmp_path / "fer2013.csv", tmp_path / "pictures") == 2
    got = datasets.get("fer2013").load(tmp_path / "pictures").set_index("sample_id")
    assert got["emotion"].to_dict() == {"Training_1": "angry", "PrivateTest_2": "neutral"}
    assert got["split"].tolist() == ["train", "test"]
    assert (cv2.imread(got["image"].iloc[0], cv2.IMREAD_UNCHANGED) == np.full((48, 48), 7)).all()


@pytest.mark.parametrize("row", [("7", "Training", 2304), ("x", "Training", 2304), ("0", "", 2304), ("0", "Test", 9)])
def test_fer2013_table_with_a_strange_row(tmp_path, row):
    put(tmp_path, "fer2013.csv", content=fer_table(("0", "Training", 2304), row))
    with pytest.raises(BadManifest, match="2304 pixels in row 2; found"):
        fer2013_corpus.save(tmp_path / "fer2013.csv", tmp_path / "pictures")


def test_a_table_of_another_sentiment_corpus_names_what_is_missing(tmp_path):
    cmu_mosi(tmp_path)
    with pytest.raises(BadManifest, match="ch-sims: .*label.csv: looked for column.s. 'label_T'.*found 'video_id'"):
        datasets.get("ch-sims").load(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v,1,hi,0,Neutral,holdout", "looked for mode among train, valid, test; found 'holdout'"),
        ("v,1,hi,0,Mixed,train", "looked for annotation among negative, neutral, positive; found 'mixed'"),
        ("v,1,hi,none,Neutral,train", "looked for numbers in label; found 'none'"),
        ("v,one,hi,0,Neutral,train", "looked for numbers in clip_id; found 'one'"),
    ],
)
def test_a_strange_cell_is_named(tmp_path, row, message):
    put(tmp_path, "label.csv", content=f"video_id,clip_id,text,label,annotation,mode\n{row}\n")
    with pytest.raises(BadManifest, match=message):
        datasets.get("cmu-mosi").load(tmp_path)


def test_more_samples_than_the_corpus_has_are_reported(tmp_path, caplog):
    rows = "".join(f"v{i},1,hi,0,Neutral,train\n" for i in range(2200))
    put(tmp_path, "label.csv", content=f"video_id,clip_id,text,label,annotation,mode\n{rows}")
    datasets.get("cmu-mosi").load(tmp_path)
    assert "cmu-mosi has 2199 samples" in caplog.text and "holds 2200" in caplog.text


def test_fer2013_split_of_the_name_goes_before_the_folders(tmp_path):
    fer2013(tmp_path)
    got = datasets.get("fer2013").load(tmp_path).set_index("sample_id")
    assert got["split"].to_dict() == {
        "PrivateTest_10131363": "test",
        "PublicTest_10131363": "dev",
        "Training_3908": "train",
        "train_fear_im0": "train",
        "train_sad_im0": "train",
    }
    assert got.loc["train_sad_im0", "emotion7"] == "sadness"


def test_fer2013_as_shared(shared_data):
    import pandas as pd

    got = datasets.get("fer2013").load(shared_data / "fer2013_publictest").set_index("sample_id")
    manifest = pd.read_csv(shared_data / "fer2013_publictest" / "manifest.csv").set_index("sample_id")
    assert len(got) == 3589 and set(got["split"]) == {"dev"}
    assert got["emotion"].equals(manifest.loc[got.index, "emotion"])


def test_ckplus_peak_frame_sequence_and_missing_emotion(tmp_path):
    ckplus(tmp_path)
    got = datasets.get("ckplus").load(tmp_path).set_index("sample_id")
    assert got["emotion"].fillna("none").to_dict() == {"S005_001": "happy", "S010_002": "none"}
    assert got.loc["S005_001", "image"].endswith("S005_001_00000011.png")
    assert got.loc["S005_001", "video"].endswith("cohn-kanade-images/S005/001")
    assert got["speaker"].tolist() == ["ckplus_S005", "ckplus_S010"]


@pytest.mark.parametrize("number", ["8", "three", "", "nan", "-1"])
def test_ckplus_emotion_that_is_none_is_named(tmp_path, number):
    ckplus(tmp_path)
    put(tmp_path, "Emotion/S010/002/S010_002_00000001_emotion.txt", content=number)
    with pytest.raises(BadManifest, match="S010_002_00000001_emotion.txt: looked for a number from 0 to 7; found"):
        datasets.get("ckplus").load(tmp_path)


def test_links_in_circles_end_and_a_folder_that_cannot_be_read_costs_itself(tmp_path, monkeypatch, caplog):
    from affectlake.data import corpus_files

    for folder in ("a", "b", "shut"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}-1.wav").write_bytes(b"")
    for at, to in (("a/up", ".."), ("a/b", "../b"), ("b/a", "../a"), ("b/self", "self")):
        (tmp_path / at).symlink_to(to)
    scandir = os.scandir

    def refusing(path):
        if os.path.basename(path) == "shut":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = [os.path.basename(path) for path, _ in corpus_files.named(tmp_path, re.compile(r".*-\d"), (".wav",))]
    assert found == ["a-1.wav", "b-1.wav"]
    assert "shut' is passed over: Permission denied" in caplog.text

    def dead(path):
        raise OSError(errno.ESTALE, "Stale file handle", path)

    monkeypatch.setattr(os, "scandir", dead)
    with pytest.raises(OSError, match="Stale"):  # nothing is known of its files, least of all that they are gone
        list(corpus_files.named(tmp_path, re.compile(".*"), (".wav",)))
