"""Finishes a kept Japanese text: gives it Japanese punctuation and cuts off its web footer (Swallow, stage 4)."""

import re

AFTER = r"[）」』］〕】〉》\u3041-\u3096\u30a1-\u30fa々〇〻\u3400-\u9fff\uf900-\ufaff]"
"""What may stand before a mark that punctuates Japanese: a Japanese letter or a closing bracket."""

FULL_WIDTH = r"(?<![０-９Ａ-Ｚａ-ｚ，．])"
"""Not after full-width digits and letters: there the mark belongs to a number or to foreign words."""

FOOTER_LINES = 10
FOOTER_FRACTION = 0.3
FOOTER_WORDS = (
    "Copyright", "copyright", "©", "(C)", "All rights reserved", "All Rights Reserved", "無断転載", "禁じます",
    "プライバシーポリシー", "個人情報保護方針", "利用規約", "特定商取引法", "サイトマップ", "お問い合わせ", "問い合わせ",
    "会社概要", "会社案内", "運営会社", "ヘルプ", "ログイン", "ログアウト", "新規登録", "マイページ", "トップページ",
    "ホームへ戻る", "ページの先頭", "一覧へ", "一覧を見る", "もっと見る", "検索", "コメント", "トラックバック", "固定リンク",
    "ツイート", "シェア", "いいね", "フォロー", "Twitter", "Facebook", "RSS", "スポンサー", "広告", "ランキング",
    "関連記事", "最近の記事", "前の記事", "次の記事", "カテゴリ", "タグ", "http", "リンク集", "お知らせ",
)
FOOTER_WORD = re.compile("|".join(map(re.escape, sorted(FOOTER_WORDS, key=len, reverse=True))))


def finish(text: str) -> str:
    """Both steps."""
    return trim_footer(japanese_punctuation(text))


def japanese_punctuation(text: str) -> str:
    """，→、 and ．→。 if the document has more of them than of the Japanese marks; each pair is judged on its own."""
    for western, japanese in (("，", "、"), ("．", "。")):
        if runs(western, text) > runs(japanese, text):
            text = re.sub(f"{FULL_WIDTH}{western}+", lambda match: japanese * len(match[0]), text)  # noqa: B023
    return text


def runs(mark: str, text: str) -> int:
    """How often the mark, once or repeated, follows Japanese."""
    return len(re.findall(f"{AFTER}{mark}+", text))


def trim_footer(text: str) -> str:
    """Cuts the text off before the first of its last ten lines that `is_footer`."""
    lines = text.split("\n")
    written = [number for number, line in enumerate(lines) if line.strip()][-FOOTER_LINES:]
    for number in written:
        if is_footer(lines[number]):
            return "\n".join(lines[:number]).rstrip("\n")
    return text


def is_footer(line: str) -> bool:
    """Whether footer words make up more than 0.3 of the line."""
    line = line.strip()
    return sum(map(len, FOOTER_WORD.findall(line))) > FOOTER_FRACTION * len(line)
