"""Makes pages of original prose from a seed: the input of the tests of collect and clean."""

import random

JAPANESE = (
    "ツバメは春になると南の国から日本へ渡ってきて、家の軒先に泥と枯れ草で巣を作ります。",
    "親鳥は一日に何百回も虫を運び、ひなは三週間ほどで巣立ちを迎えます。",
    "この町の図書館は明治時代の銀行を改装した建物で、天井の高い閲覧室が自慢です。",
    "朝の市場では、漁師が夜明け前に水揚げした魚を氷の上に並べて客を待っています。",
    "祖母は毎年秋に柿を百個ほどむいて、日当たりのよい縁側に吊るして干し柿を作った。",
    "雨が降り続いたため、川の水位は三日で二メートル近く上がったと役場が発表しました。",
    "新しい橋が完成すれば、島の子どもたちは船に乗らずに学校へ通えるようになる。",
    "彼は古い時計を分解し、歯車を一つずつ油で拭いてから元の場所に戻していった。",
    "山の上の天文台では、冬の澄んだ夜に一般の人も望遠鏡をのぞくことができます。",
    "味噌は大豆と麹と塩から作られ、仕込んでから少なくとも半年は寝かせる必要があります。",
    "電車が遅れたので、私たちは駅の待合室で温かいお茶を飲みながら地図を眺めていた。",
    "この方法では計算の順序を変えても結果が変わらないことを、次の節で確かめます。",
    "畑の隅に植えた梅の木は、まだ雪の残る二月に小さな白い花をつけた。",
    "町内の運動会では、八十歳を過ぎた世話役が今年も綱引きの審判を引き受けてくれた。",
    "水を入れる前に粉をよく混ぜておくと、だまにならず滑らかな生地に仕上がります。",
    "港の灯台は無人になって久しいが、今でも十五秒に一度ずつ沖を照らしている。",
    "講演の後、会場の学生たちは言葉の移り変わりについて次々に質問を投げかけた。",
    "壊れた窓を直すまでの間、厚い布を二重に張って風を防ぐことにしました。",
    "種をまいてから芽が出るまでの日数は、土の温度によって大きく違います。",
    "久しぶりに訪れた故郷の駅前には、見慣れない大きな建物がいくつも並んでいた。",
    "紙を水に浸して繊維をほぐし、細かい網ですくい上げると一枚の和紙になる。",
    "観測によれば、この湖の氷は五十年前より平均して十二日早く解けるようになった。",
    "弟は自転車の修理を覚えてから、近所の人の頼みを断れなくなったらしい。",
    "劇団は村の公民館を借りて、半年かけて書き上げた芝居を三日間だけ上演した。",
)
ENGLISH = (
    "The swallows come back to the harbour in April and build under the eaves of the old warehouse.",
    "Nobody had opened the third drawer since the clockmaker retired, and the key was gone.",
    "When the tide is low you can walk to the island, but you must be back before noon.",
    "The committee measured the depth of the lake every winter and wrote it in a green ledger.",
    "Bread needs flour, water, salt and time, and of these the last is the hardest to find.",
    "She repaired the radio with a piece of wire and a great deal of patience.",
    "A path of flat stones leads from the gate to the well behind the schoolhouse.",
    "The result does not depend on the order in which the numbers are added, as the next section shows.",
)
FRENCH = (
    "Les hirondelles reviennent au port en avril et bâtissent leurs nids sous les toits du vieux hangar.",
    "Personne n'avait ouvert le troisième tiroir depuis le départ de l'horloger, et la clé avait disparu.",
    "À marée basse, on peut marcher jusqu'à l'île, mais il faut en revenir avant midi.",
    "Le pain demande de la farine, de l'eau, du sel et du temps, et c'est le temps qui manque le plus.",
)


def sentences(pool: tuple[str, ...], seed: int, count: int) -> list[str]:
    """`count` different sentences, in an order that the seed decides."""
    return random.Random(seed).sample(pool, count)


def prose(pool: tuple[str, ...], seed: int, count: int) -> str:
    """Paragraphs of three sentences."""
    chosen = sentences(pool, seed, count)
    return "\n\n".join("".join(chosen[i : i + 3]) for i in range(0, count, 3))


def html(text: str, charset: str = "utf-8") -> bytes:
    """The text as a page with navigation and a footer around it."""
    body = "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))
    page = (
        f'<!DOCTYPE html><html><head><meta charset="{charset}"><title>A page</title></head><body>'
        f"<nav><a href='/'>Home</a> <a href='/map'>Site map</a></nav><main>{body}</main>"
        "<footer>Copyright 2024 The Harbour Press</footer></body></html>"
    )
    return page.encode(charset)
