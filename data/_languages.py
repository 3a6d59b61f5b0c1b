"""What written languages look like, as far as it tells one encoding from another."""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Language:
    """One language as it is written.

    Attributes
    ----------
    name : str
    letters : frozenset of str
        Every letter beyond ASCII that its words have.
    usual : frozenset of str
        Those of them that most of its text is made of; empty where words tell more.
    words : frozenset of str
        Its most frequent words, in lower case.
    prior : float
        What it is worth that most tables with such letters are in it.
    encodings : tuple of str
        Those that can write it, the usual one first; UTF-8 aside.
    """

    name: str
    letters: frozenset[str]
    usual: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    prior: float = 0.0
    encodings: tuple[str, ...] = ()


# Letters beyond ASCII in lower case, then the most frequent words.
_LATIN = {
    "English": ("éèïôêñöüç", "the a i to you and it is of that in not my we this me was for are do so what don't it's"),
    "French": ("àâçéèêëîïôœùûü", "le la les de des un une et est je il elle pas que qui ne suis très c'est vous nous"),
    "German": ("äöüß", "der die das und ist ich nicht ein eine bin zu es sie wir war sehr mit auf den er du"),
    "Spanish": ("áéíóúüñºª", "el la los de que y en es no un una me muy estoy lo por con se mi yo está"),
    "Portuguese": ("àáâãçéêíóôõúüºª", "o a os de que e é em não um uma me muito estou eu por com se isso está bem"),
    "Italian": ("àèéìíîòóùú", "il la di che e è non un una sono mi per con ho molto si lo le perché no sì"),
    "Dutch": ("éèëïöüáó", "de het een en is ik niet van dat je in te zijn was heel met op ben we"),
    "Swedish": ("åäöé", "och att det jag är en som inte på för med du har vi den så var"),
    "Danish": ("æøåéü", "og at det jeg er en som ikke på for med du har vi den så var meget"),
    "Norwegian": ("æøåéòôü", "og at det jeg er en som ikke på for med du har vi den så var veldig"),
    "Finnish": ("äöåšž", "ja on ei se että minä olen hän mutta niin sinä tämä oli mitä kun"),
    "Icelandic": ("áéíóúýþæöð", "og að ég er ekki í það á sem við þú var en hann með mjög"),
    "Estonian": ("äõöüšž", "ja on ei see ma et ta sa mis ka kui oli väga olen"),
    "Polish": ("ąćęłńóśźż", "i w nie na się jest to że z do jestem mi ja co bardzo tak jak ale"),
    "Czech": ("áčďéěíňóřšťúůýž", "a je to se na že v jsem ne si mi co velmi tak jak ale mám být"),
    "Slovak": ("áäčďéíĺľňóôŕšťúýž", "a je to sa na že v som nie si mi čo veľmi tak ako ale mám"),
    "Hungarian": ("áéíóöőúüű", "a az és nem hogy van egy vagyok én is ez de mi nagyon meg volt"),
    "Romanian": ("ăâîșşțţ", "și şi de la nu este în un o sunt eu foarte mi ce cu pe am mă"),
    "Croatian": ("čćđšž", "i je da se ne u na sam to ti što mi za vrlo jako ja bio"),
    "Turkish": ("çğıöşüâîû", "ve bir bu çok ben de da ne için o değil var sen mi ama bugün"),
    "Lithuanian": ("ąčęėįšųūž", "ir aš yra ne kad tai labai man į su bet jis esu kaip"),
    "Latvian": ("āčēģīķļņšūž", "un es ir ne ka tas man ļoti esmu ar bet kā viņš no"),
}
_WEST = ("cp1252", "cp1254", "mac_roman", "cp850", "iso8859_15")
_CENTRAL = ("cp1250", "iso8859_2", "mac_latin2", "cp852")
_BALTIC = ("cp1257", "iso8859_13")
_CYRILLIC = ("cp1251", "koi8_r", "koi8_u", "cp866", "mac_cyrillic", "iso8859_5")
_ENCODINGS = {
    **dict.fromkeys(("German", "Finnish", "Swedish"), (*_WEST, *_CENTRAL, *_BALTIC)),
    **dict.fromkeys(("Czech", "Slovak", "Hungarian", "Romanian", "Croatian"), _CENTRAL),
    **dict.fromkeys(("Lithuanian", "Latvian"), _BALTIC),
    "Polish": (*_CENTRAL, *_BALTIC),
    "Estonian": (*_BALTIC, *_WEST),
    "Turkish": ("cp1254", "iso8859_9"),
    "Greek": ("cp1253", "iso8859_7"),
    "Hebrew": ("cp1255",),
    "Arabic": ("cp1256",),
    "Thai": ("cp874",),
}

# As common as all others together in tables of this kind, and what Windows writes in most of the world.
_WESTERN = ("English", "French", "German", "Spanish", "Portuguese", "Italian")

_ALPHABETS = {
    "Russian": (
        "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
        "оеаинтсрвлкмдпу",
        "и в не на я что он с это как мне очень ты но а",
    ),
    "Ukrainian": (
        "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
        "оаніитвресклудм",
        "і в не на я що він з це як мені дуже ти але та",
    ),
    "Belarusian": (
        "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
        "анеіотслярыкдпм",
        "і ў не на я што ён з гэта як мне вельмі ты але",
    ),
    "Bulgarian": (
        "абвгдежзийклмнопрстуфхцчшщъьюя",
        "аоеитнрсвлкдпмъ",
        "и в не на аз че той с това как ми много ти но съм",
    ),
    "Serbian": ("абвгдђежзијклљмнњопрстћуфхцчџш", "аоеинтрсвјкудпм", "и у не на ја да је то се сам што ми врло ти али"),
    "Greek": (
        "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ",
        "αοιετσνηυρπκμλς",
        "και το να η ο είναι δεν με μου τα πολύ είμαι",
    ),
    "Hebrew": ("אבגדהוזחטיכלמנסעפצקרשתךםןףץ", "יוהלאמתרבשנ", "את לא של אני זה על מאוד היא הוא מה"),
    "Arabic": ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيًٌٍَُِّْـ", "اليمنورتبعهد", "في من على أنا لا ما هذا جدا إلى أن"),
    "Thai": ("".join(map(chr, range(0x0E01, 0x0E5C))), "านรกอเงมยลวดท่สต้ะปบคหแจพชใไขโ", ""),
}

_CHINESE = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么"
    "去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又"
    "关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海"
    "通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管"
    "期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北"
    "边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笑高兴悲伤愤怒恐惧惊讶厌恶快乐中性喜哀平静难过生气害怕焦虑怒恨爱"
    "说话人情绪文本标签语音男女父母朋友哈啊吧呢吗嗯谢谢您请再见早晚红明王李张刘陈"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方多經麼"
    "去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又"
    "關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海"
    "通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管"
    "期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北"
    "邊死張該交規萬取拉格望覺術領共確傳師觀清今切院讓識候帶導爭運笑高興悲傷憤怒恐懼驚訝厭惡快樂中性喜哀平靜難過生氣害怕焦慮怒恨愛"
    "說話人情緒文本標籤語音男女父母朋友哈啊吧呢嗎嗯謝謝您請再見早晚紅明王李張劉陳"
)
_KOREAN = (
    "이다는을에가의고하지도로한기은사를나어아리그서자시만대정일인수들있었해오라게보과면으전요구부원여상니연제주장와거저네안너무우"
    "신습마내할중세동성화비소선영경조진실유문발적말생각것때없않어떻왜뭐좋싫슬픔픈퍼기쁨뻐행복분노화남공포두려움놀람혐오중립평온당황"
    "불안상처감정말정말오늘민철희김박최이름했겠습니까데야죠군걸건든던려러며져줘돼됐랑엄빠친음악빨노르"
)
_JAPANESE = "".join(map(chr, (*range(0x3041, 0x3097), *range(0x30A1, 0x30FB), 0x30FC)))


@cache
def languages() -> tuple[Language, ...]:
    """Every language that encodings other than Unicode's are looked at for."""
    latin = [
        Language(
            n,
            _cased(letters),
            words=frozenset(words.split()),
            prior=0.12 if n in _WESTERN else 0.0,
            encodings=_ENCODINGS.get(n, _WEST) if n != "English" else (),
        )
        for n, (letters, words) in _LATIN.items()
    ]
    others = [
        Language(n, _cased(letters), frozenset(usual), frozenset(words.split()), encodings=_ENCODINGS.get(n, _CYRILLIC))
        for n, (letters, usual, words) in _ALPHABETS.items()
    ]
    return (
        *latin,
        *others,
        Language("Chinese", _table("gb2312", 0xB0, 0xD7, 0xA1, 0xFE), frozenset(_CHINESE), encodings=("gb18030",)),
        Language(
            "traditional Chinese",
            _table("big5", 0xA4, 0xC6, 0x40, 0xFE),
            frozenset(_TRADITIONAL),
            encodings=("big5", "cp950", "big5hkscs", "gb18030"),
        ),
        Language(
            "Japanese",
            frozenset(_JAPANESE)
            | frozenset(map(chr, range(0xFF66, 0xFFA0)))
            | _table("euc_jp", 0xB0, 0xCF, 0xA1, 0xFE),
            frozenset(_JAPANESE),
            encodings=("cp932", "euc_jp"),
        ),
        Language("Korean", _table("euc_kr", 0xB0, 0xC8, 0xA1, 0xFE), frozenset(_KOREAN), encodings=("cp949",)),
    )


def _cased(letters: str) -> frozenset[str]:
    return frozenset(letters) | frozenset(c.upper() for c in letters if len(c.upper()) == 1)


def _table(encoding: str, first: int, last: int, low: int, high: int) -> frozenset[str]:
    """The usual characters of a national standard: those in daily use come first in all of them."""
    cells = (bytes([a, b]) for a in range(first, last + 1) for b in range(low, high + 1))
    return frozenset(c for cell in cells for c in [cell.decode(encoding, "ignore")] if len(c) == 1 and ord(c) > 0x2FFF)
