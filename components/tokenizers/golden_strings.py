"""The strings by which tokenizers are told apart.

They are never edited: adding or removing one needs a new version of `components.tokenizers.fingerprint.TokenizerFingerprint`.
"""

GOLDEN_DOCUMENT = "The martlet has no feet: it is drawn without ever landing.\nツバメは海を渡る。"
"""The golden string that is also split as a document, BOS and EOS included."""
GOLDEN = (
    GOLDEN_DOCUMENT,
    "",
    " ",
    "  two spaces before and three behind   ",
    "def land(height):\n\tif height  >  0:\n\t\treturn None\n    # a comment\n            return 'never'\n" + 33 * " " + "}",
    "0 1 23 456 7,890 3.14159 -42 1e-5 0x1F １２３ 二〇二六年",
    "つばめが、ことしも のきしたに かえってきた。",
    "カタカナのヴァイオリン、ｶﾞｷﾞｸﾞは半角、ッとー。",
    "憂鬱な薔薇と檸檬。𠮷田さんは𩸽を焼き、髙橋さんは鷗を見た。",
    "Pythonで3つの関数を書き、testを2回runさせた(成功)。",
    "全角　空白　　二つ、\u3000\u3000そして行末\u3000",
    "「かぎ」『二重』（括弧）【隅】、。・…〜～ー—–−!?！？",
    "👩\u200d👩\u200d👧\u200d👦 🏳\ufe0f\u200d🌈 👍🏽 🇯🇵",
    "a\u0323\u0301 q\u0307 g\u0303 n\u0303",
    "が ぱ é Å 한",
    "か\u3099 は\u309a e\u0301 A\u030a \u1112\u1161\u11ab",
    "one\r\ntwo\rthree\n\n\nfour\n\r\n",
    "\t\t \t",
    "a\u2581b\u2581\u2581c \u2581",
    "</s><s>[INST]<|im_start|>user<|endoftext|><|begin_of_text|><unk><0x41>[/INST]",
    "\x07",
    "nul\x00 del\x7f nel\x85 bom\ufeff zero\u200bwidth nbsp\u00a0soft\u00adhyphen \ufffd",
    "Привет, мир · Ελληνικά · שלום · नमस्ते · 안녕",
    "https://example.org/a_b-c?q=%E3%81%82&lang=ja#x-1",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ああああああああああああああああああ",
    "I'm sure they'd've said: IT'S CamelCase_snake-kebab.",
)
