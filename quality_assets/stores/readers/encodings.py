"""Which encoding a text is in that is not UTF-8.

One of East Asia where its signs come in runs and are common there, else the one-byte encoding in which its words read
most as words of some language: by the letters that a language has beyond ASCII, and how often.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

# In the order of how common they are: the first of equals is taken.
CANDIDATES = (
    *("cp1252", "cp850", "mac_roman", "cp1250", "iso8859_2", "cp1254", "cp1257", "iso8859_15", "cp437"),
    *("cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "cp874"),
)
# Letters beyond ASCII, the most frequent first (wordfreq's 20,000 most frequent words of each language).
_LATIN = {
    "Albanian": "ëç",
    "Breton": "ñùêéü",
    "Catalan": "àóèíòçéúïü",
    "Croatian": "čšžćđ",
    "Czech": "íáěřéčýšžůúňťóď",
    "Danish": "æøåéüöä",
    "Dutch": "ëéïèóüöáíçêôû",
    "Estonian": "äõüöšž",
    "Faroese": "ðáøíóæúý",
    "Finnish": "äöåšž",
    "French": "éèêàôçîâûïùëœüæÿ",
    "Gaelic": "àòìùèáéíóú",
    "German": "äüößé",
    "Hungarian": "áéöóőíüúű",
    "Icelandic": "ðóáöæíúþéý",
    "Italian": "àòèìéùîí",
    "Latvian": "āīēšņūļžķģč",
    "Lithuanian": "ėųšžąįūčę",
    "Norwegian": "øåæéöüèòô",
    "Polish": "łąęóśćżńź",
    "Portuguese": "çãáíéóõêâúôàü",
    "Romanian": "ățţșşîâ",
    "Slovak": "áíýčúšéťžľôóňäďĺŕ",
    "Slovene": "čšž",
    "Spanish": "óíáéñúü",
    "Swedish": "äöåéü",
    "Turkish": "ıüşğçöiâî",
}
_OTHERS = {
    "Arabic": "اليمرتونبةدعسقفهحكأجصشطخزضإثغئءذىظؤآ",
    "Bulgarian": "аиетонрсвлкпдмзяъбугчжцхшйщфюь",
    "Greek": "ασεοιτνρκπμλυηάίγέδόήωύχφςθβώξζψϊϋΐΰ",
    "Hebrew": "יוהתרמלבשנאעםחדקפכסגצטןזךףץ",
    "Persian": "ایرنمودتهبسلشکفزگخعقجپيحآصطچغضذظكئثژ",
    "Russian": "оаеинтсрлвкпдмуяыьзбгйчхжюшцфщэёъ",
    "Serbian": "аиеотнрсвлкпдмузбјгчшцжњфхљћђџѓќ",
    "Thai": "านรอกเงยมล่้วัดทีสิตปะุคบ์แจหพ็ืชขูใำไโผึถซธฟศภษณญฐฎฉฮฝๆฆ",
    "Ukrainian": "оаниіртвесклпдумзяьгбйчхюцжшїєфщґ",
}
_WANES = 0.8
# In nats, as the likelihoods of letters are.
_FOREIGN, _SIGN, _SIGN_WITHIN = -7.0, -2.3, -10.0
_BESIDE_ANOTHER, _ALONE, _ODD_CASE = -3.0, -3.0, -4.0
_SIGNS = frozenset("’‘“”„«»‹›–—…·•°²³¹ºª®©™§€£¥¿¡½¼¾±×µ†‰´\u00a0\u00ad")
_IN_WORDS = "’‘“”–—…·\u00a0\u00ad"
_WORD = re.compile(rb"[A-Za-z\x80-\xff]{2,}")
_MOST_WORDS = 300
# How often the share of each language among the words is estimated anew.
_ROUNDS = 30
# Of what is Windows-1252 a letter has -1 to -4 on average; see test_text_of_western_europe_is_never_refused.
_LEAST_A_LETTER, _SURELY_AHEAD, _MAYBE_AHEAD = -5.0, 10.0, 3.0
# Damage may read as a word or two.
_LEAST_WORDS = 5
_MOST_BYTES = 1 << 20
# By encoding, the two bytes of its common signs: Hangul, kana and the kanji or hanzi of the first level. What reads as
# Korean reads as Chinese as well, which goes on beyond those bytes; Japanese of Unix is told by its kana.
_COMMON = {
    "cp949": rb"[\xb0-\xc8][\xa1-\xfe]",
    "euc_jp": rb"[\xa4\xa5\xb0-\xcf][\xa1-\xfe]|\xa1[\xa1-\xfe]",
    "cp932": rb"[\x82\x83\x88-\x97]|\x81[\x40-\x9f]",
    "gb18030": rb"[\xb0-\xd7][\xa1-\xfe]|[\xa1\xa3][\xa1-\xfe]",
    "cp950": rb"[\xa1\xa3-\xc6][\x40-\x7e\xa1-\xfe]",
}
_LEAST_COMMON, _LEAST_HANGUL, _LEAST_IN_RUNS, _LEAST_KANA = 0.85, 0.97, 0.8, 0.05
_RUN = re.compile(r"[^\x00-\x7f]{2,}")
_KANA = re.compile("[\u3041-\u30ff]")
_MOST_CUT = 4


@dataclass(frozen=True)
class Guess:
    """What bytes are in rather than in Windows-1252.

    They may be in that all the same unless it `is_sure` that they are not. `is_text` holds where enough words speak for
    the encoding: what is damaged reads as words in none.
    """

    encoding: str
    is_sure: bool
    is_text: bool


def guessed_encoding(head: bytes) -> str:
    """The likeliest encoding of bytes that are not UTF-8."""
    head = head[:_MOST_BYTES]
    return _east_asian(head) or _likeliest(_likelihoods(_words(head)))


def other_than_western(sample: bytes) -> Guess | None:
    """What bytes are in rather than in Windows-1252; None where nothing speaks for another encoding."""
    if (found := _east_asian(sample)) is not None:
        return Guess(found, is_sure=True, is_text=False)
    words = _words(sample)
    likelihoods = _likelihoods(words)
    western, likeliest = likelihoods["cp1252"], _likeliest(likelihoods)
    ahead = likelihoods[likeliest] - western
    is_ahead = ahead > _SURELY_AHEAD
    is_foreign = western < _LEAST_A_LETTER * sum(byte > 127 for word in words for byte in word)
    if not is_foreign and ahead <= _MAYBE_AHEAD:
        return None
    return Guess(likeliest, is_sure=is_foreign or is_ahead, is_text=is_ahead and len(words) >= _LEAST_WORDS)


def _words(data: bytes) -> list[bytes]:
    """The first words with bytes beyond ASCII, each once; a letter by itself tells nothing where there are others."""
    found = dict.fromkeys(word for word in _WORD.findall(data[:_MOST_BYTES]) if not word.isascii())
    if not found:
        found = dict.fromkeys(bytes([byte]) for byte in data if byte > 127)
    return list(found)[:_MOST_WORDS]


def _likelihoods(words: Sequence[bytes]) -> dict[str, float]:
    return {name: _likelihood(words, name) for name in CANDIDATES}


def _likeliest(likelihoods: Mapping[str, float]) -> str:
    return max(CANDIDATES, key=lambda name: likelihoods[name])


def _likelihood(words: Sequence[bytes], encoding: str) -> float:
    """How likely words are in an encoding, as words of a mixture of languages; which mixture, they tell themselves."""
    if not words:
        return 0.0
    decoded = [word.decode(encoding, "replace") for word in words]
    logarithms = np.array([[_likelihood_in(word, language) for language in _LETTERS] for word in decoded])
    # Of long words it is a number too small to be one.
    best = logarithms.max(axis=1, keepdims=True)
    likelihoods = np.exp(logarithms - best)
    # Of the shares of a mixture the likelihood is concave: expectation maximisation finds the best.
    shares = np.full(len(_LETTERS), 1 / len(_LETTERS))
    for _ in range(_ROUNDS):
        of_each = likelihoods * shares
        shares = (of_each / of_each.sum(axis=1, keepdims=True)).mean(axis=0)
    return float(best.sum() + np.log(likelihoods @ shares).sum())


def _likelihood_in(word: str, language: str) -> float:
    letters = _LETTERS[language]
    total = 0.0
    for before, letter, after in zip(" " + word, word, word[1:] + " ", strict=False):
        if letter.isascii():
            continue
        likelihood = letters.get(letter.lower())
        if likelihood is None:
            is_within = before.isalpha() and after.isalpha() and letter not in _IN_WORDS
            total += _FOREIGN if letter not in _SIGNS else _SIGN_WITHIN if is_within else _SIGN
            continue
        total += likelihood
        if language in _LATIN:
            total += _BESIDE_ANOTHER if not before.isascii() else 0.0
        elif (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha()):
            total += _ALONE
        is_odd = before.islower() if letter.isupper() else letter.islower() and before.isupper() and after.isupper()
        total += _ODD_CASE if is_odd else 0.0
    return total


def _logarithms(letters: str) -> dict[str, float]:
    """The logarithm of how often each letter stands among those of its language that are not ASCII."""
    total = sum(_WANES**rank for rank in range(len(letters)))
    return {letter: rank * log(_WANES) - log(total) for rank, letter in enumerate(letters)}


_LETTERS = {language: _logarithms(letters) for language, letters in {**_LATIN, **_OTHERS}.items()}


def _east_asian(head: bytes) -> str | None:
    """The encoding of two bytes a sign in which nearly all signs are common ones, and stand beside each other."""
    shares = {name: _common_share(head, name) for name in _COMMON}
    if shares["cp949"] >= _LEAST_HANGUL:
        return "cp949"
    shares.pop("cp949")
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _LEAST_COMMON else None


def _common_share(head: bytes, encoding: str) -> float:
    """Of the signs that are not ASCII, how many are common in an encoding; 0 where it reads the bytes not, or alone."""
    text = _decoded(head, encoding)
    signs = Counter(character for character in text if not character.isascii())
    total = signs.total()
    if not total or sum(map(len, _RUN.findall(text))) < _LEAST_IN_RUNS * total:
        return 0.0
    if encoding == "euc_jp" and len(_KANA.findall(text)) < _LEAST_KANA * total:
        return 0.0
    common = re.compile(_COMMON[encoding])
    return sum(n for sign, n in signs.items() if common.match(sign.encode(encoding))) / total


def _decoded(head: bytes, encoding: str) -> str:
    """The text of bytes whose last sign may be cut; nothing where they are none."""
    for cut in range(_MOST_CUT):
        try:
            return head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(head) - cut - _MOST_CUT:
                break
    return ""
