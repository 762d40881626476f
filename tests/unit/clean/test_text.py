"""What a page's text is: extraction, encodings, language, punctuation and footers."""

import pytest

from components.clean.extract import extract
from components.clean.finish import finish, japanese_punctuation, trim_footer
from components.clean.language import identify
from components.clean.swallow import is_refused
from tests.support.builders.texts import ENGLISH, FRENCH, JAPANESE, html, prose

PROSE = prose(JAPANESE, 4, 12)


def paragraphs(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


def test_paragraphs_survive_and_navigation_goes() -> None:
    assert paragraphs(extract(html(PROSE), "text/html", [])) == PROSE.split("\n\n")


@pytest.mark.parametrize("charset", ["utf-8", "shift_jis", "euc_jp", "iso2022_jp"])
def test_the_encoding_is_taken_from_the_header(charset: str) -> None:
    page = html(PROSE, charset).replace(f'<meta charset="{charset}">'.encode(), b"")
    assert paragraphs(extract(page, f"text/html; charset={charset}", [])) == PROSE.split("\n\n")


@pytest.mark.parametrize("charset", ["utf-8", "shift_jis", "euc-jp"])
def test_the_encoding_is_taken_from_the_page_where_the_header_is_silent(charset: str) -> None:
    assert paragraphs(extract(html(PROSE, charset), "text/html", [])) == PROSE.split("\n\n")


@pytest.mark.parametrize("name", ["Shift_JIS", "x-sjis", "windows-31j"])
def test_shift_jis_means_what_the_web_means_by_it(name: str) -> None:
    page = f"<html><body><main><p>{JAPANESE[0]}①～髙</p></main></body></html>".encode("cp932")
    assert extract(page, f"text/html; charset={name}", []) == f"{JAPANESE[0]}①～髙"


def test_an_unknown_encoding_in_the_header_falls_back_to_the_page() -> None:
    assert paragraphs(extract(html(PROSE), "text/html; charset=martian", [])) == PROSE.split("\n\n")


def test_a_single_japanese_letter_between_two_elements_survives() -> None:
    text = "山<b>と</b>川<i>は</i><code>a</code>、<code>b</code>&#12398;<em>次</em> 。<b>𠮷</b>"
    page = f"<html><body><main><p>{text}</p></main></body></html>".encode()
    assert extract(page, "text/html; charset=utf-8", []) == "山と川はa、bの次 。𠮷"


def test_an_empty_anchor_of_xhtml_does_not_turn_a_list_into_links() -> None:
    items = "".join(f"<li><p>{sentence}</p></li>" for sentence in JAPANESE[:4])
    section = f'<div class="section"><h2><a id="one"/>一</h2><p>{JAPANESE[5]}</p><ul>{items}</ul></div>'
    page = f'<?xml version="1.0" encoding="UTF-8"?><html><body>{"<div>" * 5}{section}{"</div>" * 5}<hr/></body></html>'
    text = extract(page.encode(), "text/html", [])
    assert [sentence for sentence in (*JAPANESE[:4], JAPANESE[5]) if sentence not in text] == []


def test_elements_named_in_the_parameters_are_left_out() -> None:
    page = b"<html><body><main><div class='toc'>1. One 2. Two</div><p>The well is deep.</p></main></body></html>"
    assert extract(page, "text/html", [".toc"]) == "The well is deep."
    assert "2. Two" in extract(page, "text/html", [])


def test_code_keeps_its_indentation() -> None:
    page = b"<html><body><main><p>As follows:</p><pre>if wind:\n    fly()\n</pre></main></body></html>"
    assert "if wind:\n    fly()" in extract(page, "text/html", [])


def test_plain_text_is_taken_as_it_is() -> None:
    assert extract("<b>いち</b>\n\n\n\n二".encode(), "text/plain; charset=utf-8", []) == "<b>いち</b>\n\n二"


@pytest.mark.parametrize("sentence", JAPANESE)
def test_japanese_is_identified_sentence_by_sentence(sentence: str) -> None:
    assert identify(sentence) == "ja"


@pytest.mark.parametrize(("sentence", "language"), [
    *((sentence, "en") for sentence in ENGLISH),
    *((sentence, "fr") for sentence in FRENCH),
    ("本市中心在河的北岸，冬季寒冷干燥，居民大多从事纺织工作，并在春天举行庙会。", "zh"),
    ("봄이 되면 제비가 돌아와 처마 밑에 진흙으로 둥지를 짓고 새끼를 기른다.", "ko"),
    ("Весной ласточки возвращаются и строят гнёзда под крышами старых домов.", "ru"),
    ("12345 --- 67.8", "und"),
])
def test_other_languages_are_identified_offline(sentence: str, language: str) -> None:
    assert identify(sentence) == language


def test_a_japanese_quotation_in_english_is_no_japanese() -> None:
    assert identify(" ".join(ENGLISH) + " It is called ツバメ in Japanese.") == "en"


@pytest.mark.parametrize(("uri", "verdict"), [
    ("https://news.5ch.net/thread/1", True),
    ("https://5ch.net/", True),
    ("http://JA.Wikipedia.org:80/wiki/x", True),
    ("https://notwikipedia.org/", False),
    ("https://example.org/?u=5ch.net", False),
    ("deb:debian-handbook/11/usr/share/doc/index.html", False),
    ("http://[broken", False),
])
def test_refused_hosts_are_whole_names(uri: str, verdict: bool) -> None:
    assert is_refused(uri, ["*.5ch.net", "*.wikipedia.org"]) is verdict


@pytest.mark.parametrize(("text", "expected"), [
    ("この文，この点，この行．", "この文、この点、この行。"),
    ("この文、この点，この行。", "この文、この点，この行。"),
    ("値は３．１４で，次は２，５００です．終わり．", "値は３．１４で、次は２，５００です。終わり。"),
    ("彼は言った，「そうだ」，と．", "彼は言った、「そうだ」、と。"),
    ("待って．．．", "待って。。。"),
    ("Only Western, as it is.", "Only Western, as it is."),
])
def test_punctuation_follows_the_majority_and_spares_numbers(text: str, expected: str) -> None:
    assert japanese_punctuation(text) == expected


def test_a_footer_in_the_last_ten_lines_is_cut_with_what_follows() -> None:
    body = JAPANESE[:12]
    text = "\n".join([*body, "プライバシーポリシー | お問い合わせ", "東京都千代田区"])
    assert trim_footer(text) == "\n".join(body)


def test_a_footer_word_in_a_sentence_or_higher_up_stays() -> None:
    sentence = "この記事にコメントを書くには、まず名前を入力してください。"
    high = "\n".join(["サイトマップ", *JAPANESE[:11], sentence])
    assert trim_footer(high) == high


def test_empty_lines_do_not_hide_a_footer() -> None:
    assert finish("本文です．\n\n" * 2 + "\n\n\n".join(["Copyright 港町印刷"] * 9)) == "本文です。\n\n本文です。"
