"""What the documentation says is there, is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
PAGES = sorted([*READMES, *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_their_options_exist(page):
    """Every `affectlake …` line of a page is one that the command line would take."""
    from affectlake.flows.cli.app import app

    for line in re.findall(r"^(?:\$ )?affectlake (.+?)(?:\s{2,}#.*)?$", page.read_text(encoding="utf-8"), re.M):
        words = line.split()
        if words[0].startswith("-") or not re.fullmatch(r"[a-z]+", words[0]):
            continue
        command = app[words[0]]
        valid = {name for argument in command.assemble_argument_collection() for name in argument.names}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=")[0] in valid, f"{page.name}: affectlake {line}"


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\((docs/[^)]+\.md)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    pages = {f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")}
    assert linked == pages - {"docs/index.md"} | {"docs/tutorials/index.md"}, (
        "the site's own first page stands for the README there"
    )


def outline(page: Path) -> dict[str, list[str]]:
    """What a README in another language has in common: levels of headings, code without comments, names, links."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(.*?)^```", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return {
        "headings": re.findall(r"^(#+) ", prose, re.M),
        "code": [re.sub(r"\s*# .*", "", line) for block in blocks for line in block.splitlines()],
        "names": sorted(set(re.findall(r"`([^`\n]+)`", prose))),
        "links": sorted(set(re.findall(r"\]\(([^)]+)\)", prose)) - {"README.md", "README.zh.md"}),
        "points": re.findall(r"^- \*\*", prose, re.M),
    }


def test_the_chinese_readme_says_what_the_english_one_does():
    english, chinese = map(outline, READMES)
    assert english["code"] and english["headings"] and chinese == english


def test_the_demo_files_that_the_readme_names_are_made(tmp_path):
    from affectlake.data.demo import make_demo

    make_demo(tmp_path / "demo" / "corpus")
    named = re.findall(r"demo/corpus/\S+", READMES[0].read_text(encoding="utf-8"))
    assert named and all((tmp_path / name).is_file() for name in named)
