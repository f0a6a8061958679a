"""Logs that are not UTF-8: read as Windows-1252, read so with a doubt that is told, or refused by what they are in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from staged_logs import Stage

from quality_assets.contracts.sources.events import Source, Sources
from quality_assets.stores.readers import FileRejected
from quality_assets.stores.readers.encodings import other_than_western

WESTERN = {
    "Albanian": "është çdo përdorues kërkesë çmimi në rrugë shtëpi për të gjithë",
    "Catalan": "això és una sessió d'usuari amb l'opció més avançada també què serà després açò pàgina",
    "Danish": "søgning på køb af større varer længere ændre størrelse æbler øl åbne indkøbskurv gå til kassen",
    "Dutch": "één gebruiker coördineert geïnteresseerd efficiënt financiële ruïne België reële zoë patiënt",
    "English": "café naïve résumé 5 € “quoted” – it’s well—known façade 20 °C Brand® ½ £9 El Niño jalapeño",
    "Estonian": "kõik kasutajad võivad lõpetada üle öö jälle täna õpetaja žanr šokolaad müüa äri töö",
    "Faroese": "leitað á síðuni ein brúkari keyp ríkt úrval øll nøkur ævir ýta vælkomin til okkara góðu fólk",
    "Finnish": "käyttäjä löytyi hyvää päivää yhtään töitä näyttää šakki pääsy säätö öljyä Åbo ennätys",
    "French": "événement créé à l’été où l'élève préfère être sûr ça coûte très cœur œuvre Noël naïf déjà garçon",
    "Gaelic": "tha an duilleag seo ùr agus fàilte gu gach neach là math òran cèilidh bòidheach dè mìle",
    "Galician": "a páxina non está dispoñible será máis fácil atopar a túa sesión año coñecer corazón días",
    "German": "größe ändern für übliche Straße Öffnen schließen über Käufer löschen Müller möchte Grüße Äpfel",
    "Icelandic": "þjónusta notandi leitaði að síðu kaupa ódýrt það er ný lína bæta við körfu Ísland þú getur séð því",
    "Irish": "fáilte úsáideoir cuardach ó lá go lá béal éire ríomhaire údar sé cáca clár níos mó",
    "Italian": "perché la città è più bella così può andare là giù virtù caffè qualità università già",
    "Luxembourgish": "d'Säit ass fäerdeg fir d'Leit méi schéin gëtt zréck eräus dës Woch lëschen iwwer wäert",
    "Norwegian": "søk på større kjøp nå åpne handlekurv får ikke endre størrelse være dårlig øl blåbær også én",
    "Portuguese": "não há opção de página início usuário atenção às três informações até você já coração ações",
    "Spanish": "¿qué página está más rápida? año señor sesión búsqueda también aquí pingüino compañía ¡sí! día",
    "Swedish": "sök på större köp nu öppna varukorg får inte ändra storlek väldigt dåligt blåbär också idé",
}
OTHERS = [
    ("Arabic", "cp1256", "بحث سلة المشتريات الدفع تسجيل الدخول الصفحة الرئيسية المستخدم"),
    ("Croatian", "cp1250", "kupnja čišćenje košarice žurno uređaj šifra mogućnost već što također sljedeći"),
    ("Czech", "cp1250", "vyhledávání přihlášení košík uživatel nákup příliš žluťoučký kůň úpěl ďábelské ódy zpět"),
    ("Czech", "iso8859_2", "vyhledávání přihlášení košík uživatel nákup příliš žluťoučký kůň úpěl ďábelské ódy"),
    ("Greek", "cp1253", "αναζήτηση καλάθι αγορών πληρωμή σύνδεση χρήστης αρχική σελίδα"),
    ("Hebrew", "cp1255", "חיפוש עגלת קניות תשלום כניסה משתמש דף הבית"),
    (
        "Hungarian",
        "cp1250",
        "keresés fizetés belépés gyűjtemény következő főoldal idő nő erős gyűrű előző kettő szerződés bővítés lehető"
        " időszak rendezőség felhasználó vásárlás ügyfél",
    ),
    ("Japanese", "euc_jp", "検索 カート 購入履歴 ログイン ユーザー ページ お気に入り"),
    ("Latvian", "cp1257", "meklēšana grozs maksājums pieteikšanās lietotājs sākumlapa šķirošana ļoti ņemt"),
    ("Lithuanian", "cp1257", "paieška krepšelis mokėjimas prisijungimas naudotojas pradžia žąsis ėjo tūkstančių"),
    ("Polish", "cp1250", "płatność wyszukiwanie użytkownik koszyk zamówień zażółć gęślą jaźń się są że"),
    ("Polish", "iso8859_2", "płatność wyszukiwanie użytkownik koszyk zamówień zażółć gęślą jaźń się są że"),
    ("Romanian", "cp1250", "căutare coş plată înregistrare utilizator pagină înapoi şi să fără după până aşa ţară"),
    ("Russian", "cp1251", "поиск корзина оплата вход пользователь главная страница"),
    ("Russian", "koi8_r", "поиск корзина оплата вход пользователь главная страница"),
    ("Slovene", "cp1250", "iskanje košarica plačilo začetek več še že čas obvestilo naročilo žličnik češnja čiščenje"),
    ("Turkish", "cp1254", "arama sepet ödeme giriş kullanıcı çıkış alışveriş yardım doğrulama şifre değiştir"),
]
HEADER = "event_time,feature,status\n"
RNG = random.Random(20261130)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def declared(encoding: str) -> Sources:
    columns = {name: name for name in ("event_time", "feature", "status")}
    given = {"name": "web", "owner": "o", "description": "d", "paths": ["web/**"], "starts_on": "2020-01-01"}
    return Sources({"web": Source.model_validate({**given, "columns": columns, "csv": {"encoding": encoding}})})


def log(names: list[str], encoding: str) -> bytes:
    return (HEADER + "".join(f"2026-02-01T10:00:00Z,{name},ok\n" for name in names)).encode(encoding)


@pytest.mark.parametrize("language", WESTERN)
def test_text_of_western_europe_is_read(stage: Stage, language: str) -> None:
    names = [name.replace(",", "") for name in WESTERN[language].split()]
    assert stage.load(log(names, "cp1252")).encoding == "cp1252"
    assert stage.rows("feature") == names


def test_text_of_western_europe_is_never_refused() -> None:
    everything = [word for text in WESTERN.values() for word in text.split() if not word.isascii()]
    doubted = 0
    for _ in range(100):
        words = RNG.sample(everything, RNG.choice([1, 2, 5, 20, 100]))
        as_written = RNG.choice([str, str.upper, str.title])
        guess = other_than_western("\n".join(map(as_written, words)).encode("cp1252", "ignore"))
        assert guess is None or not guess.is_sure, (words, guess)
        doubted += guess is not None
    assert doubted <= 3


@pytest.mark.parametrize(("language", "encoding", "text"), OTHERS, ids=[f"{n}-{e}" for n, e, _ in OTHERS])
def test_text_of_others_is_refused_by_its_encoding(stage: Stage, language: str, encoding: str, text: str) -> None:
    with pytest.raises(FileRejected, match=rf"look most like {encoding}\. .*`csv: \{{encoding: {encoding}\}}`"):
        stage.load(log(text.split(), encoding))


@pytest.mark.parametrize(("language", "encoding", "text"), OTHERS, ids=[f"{n}-{e}" for n, e, _ in OTHERS])
def test_what_a_source_declares_is_what_it_is_in(stage: Stage, language: str, encoding: str, text: str) -> None:
    path = stage.write(log(text.split(), encoding))
    assert stage.stage(path, "web/log.csv", sources=declared(encoding)).encoding == encoding
    assert stage.rows("feature") == text.split()


@pytest.mark.parametrize(
    ("names", "encoding", "likely"),
    [
        (["več", "še", "začetek", "išči"], "cp1250", "cp1250"),
        (["başlık", "kayıt"], "cp1254", "cp1254"),
    ],
)
def test_where_words_are_too_few_the_doubt_is_told(stage: Stage, names: list[str], encoding: str, likely: str) -> None:
    assert stage.load(log(names, encoding)).encoding == f"cp1252, perhaps {likely}"


def test_a_damaged_line_is_no_text_of_another_encoding(stage: Stage) -> None:
    lines = log(["search"] * 30 + ["se@rch", "ch@ckout"], "ascii").replace(b"@", b"\xb9")
    assert stage.load(lines).encoding == "utf-8"
    assert stage.rows("reasons")[-2:] == [["malformed_row"]] * 2


def test_what_is_invisible_is_no_name_and_part_of_none(stage: Stage) -> None:
    names = ["\u200b", "\u200e\u2060", "search\u200b", "\u200esearch", "no\u200bbreak"]
    assert stage.load(log(names, "utf-8")).good_rows == 3
    assert stage.rows("feature", "reasons") == [
        *[(None, ["missing_feature"])] * 2,
        ("search", None),
        ("search", None),
        ("no\u200bbreak", None),
    ]


def test_a_mark_that_is_copied_along_with_a_time_is_no_part_of_it(stage: Stage) -> None:
    stage.load("event_time,feature,status\n\u200e2026-02-01T10:00:00Z,search,ok\u200e\n")
    assert stage.rows("reasons") == [None]


@pytest.mark.parametrize("zeros", [100, 5_000, 200_000])
def test_zeros_that_a_lost_machine_leaves_are_a_line_that_is_refused(stage: Stage, zeros: int) -> None:
    assert stage.load(log(["search", "cart"], "utf-8") + bytes(zeros)).good_rows == 2
    assert stage.rows("line_number", "reasons") == [(2, None), (3, None), (4, ["malformed_row"])]


@pytest.mark.parametrize("first", ["utf-8", "cp1252"])
def test_lines_of_two_encodings_in_one_log_are_each_read_as_what_they_are(stage: Stage, first: str) -> None:
    second = "cp1252" if first == "utf-8" else "utf-8"
    joined = log(["café", "Größe"], first) + log(["naïve"], second).split(b"\n", 1)[1]
    loaded = stage.load(joined if first == "cp1252" else joined + log(["señor", "año"], second).split(b"\n", 1)[1])
    assert loaded.encoding == "cp1252"
    assert stage.rows("feature")[:3] == ["café", "Größe", "naïve"]
