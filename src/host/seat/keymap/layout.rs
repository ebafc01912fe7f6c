//! What is printed on the keys: which key, with which modifiers, gives a character. From the layouts of that name in
//! xkeyboard-config, which Linux desktops use.

use anyhow::{Context, Result};
use std::fmt;
use std::str::FromStr;

/// A keyboard layout.
#[derive(Clone, Copy)]
pub struct Layout(&'static Map);

struct Map {
    name: &'static str,
    about: &'static str,
    /// Alone, with Shift, with AltGr, with both: the characters of the four rows in [`ROWS`]. A space: none, or one that nobody types.
    /// Combining characters are dead keys.
    levels: [[&'static str; 4]; 4],
}

/// The keys of the four rows, from the left: the row of the digits, of Q, of A, of Z.
const ROWS: [&[u16]; 4] = [
    &[41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    &[16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27],
    &[30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 43],
    &[86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53],
];

/// Characters that have no place in a layout, because all have them at the same one.
const COMMON: [(char, u16); 6] = [(' ', 57), ('\n', 28), ('\r', 28), ('\t', 15), ('\u{8}', 14), ('\u{1b}', 1)];

/// What a dead key makes of the character after it; a space after it gives the mark itself.
#[rustfmt::skip]
const COMPOSED: [(char, &str, &str); 5] = [
    ('\u{300}', " aeiouAEIOU", "`àèìòùÀÈÌÒÙ"),
    ('\u{301}', "aeiouyAEIOUY", "áéíóúýÁÉÍÓÚÝ"),
    ('\u{302}', " aeiouAEIOU", "^âêîôûÂÊÎÔÛ"),
    ('\u{303}', " anoANO", "~ãñõÃÑÕ"),
    ('\u{308}', "aeiouyAEIOU", "äëïöüÿÄËÏÖÜ"),
];

/// One press of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stroke {
    /// Linux's `KEY_*`.
    pub code: u16,
    pub shift: bool,
    pub altgr: bool,
}

#[rustfmt::skip]
static LAYOUTS: &[Map] = &[
    Map {
        name: "us",
        about: "US English",
        levels: [
            ["`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", " zxcvbnm,./"],
            ["~!@#$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:\"|", " ZXCVBNM<>?"],
            ["", "", "", ""],
            ["", "", "", ""],
        ],
    },
    Map {
        name: "gb",
        about: "British English",
        levels: [
            ["`1234567890-=", "qwertyuiop[]", "asdfghjkl;'#", "\\zxcvbnm,./"],
            ["¬!\"£$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:@~", "|ZXCVBNM<>?"],
            ["|¹²³€½¾{[]}\\", "@ſe¶ŧ←↓→øþ\u{308}\u{303}", "æßðđŋħ ĸł\u{301}\u{302}\u{300}", "|«»¢„“”µ•·"],
            ["|¡⅛£¼⅜⅝⅞™±°¿", "Ω§E®Ŧ¥↑ıØÞ", "ÆẞÐªŊĦ &Ł", "¦<>©‚‘’º×÷"],
        ],
    },
    Map {
        name: "de",
        about: "German",
        levels: [
            ["\u{302}1234567890ß\u{301}", "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"],
            ["°!\"§$%&/()=?\u{300}", "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"],
            ["′¹²³¼½¬{[]}\\", "@ſ€¶ŧ←↓→øþ\u{308}~", "æſðđŋħ ĸł \u{302}’", "|»«¢„“”µ·…–"],
            ["″¡⅛£¤⅜⅝⅞™±°¿", "Ω§€®Ŧ¥↑ıØÞ ¯", "ÆẞÐªŊĦ &Ł", " ›‹©‚‘’º×÷—"],
        ],
    },
    Map {
        name: "fr",
        about: "French",
        levels: [
            ["²&é\"'(-è_çà)=", "azertyuiop\u{302}$", "qsdfghjklmù*", "<wxcvbn,;:!"],
            ["~1234567890°+", "AZERTYUIOP\u{308}£", "QSDFGHJKLM%µ", ">WXCVBN?./§"],
            ["¬¹~#{[|`\\^@]}", "æ«€¶ŧ←↓→øþ\u{308}¤", "@ßðđŋħ ĸłµ\u{302}\u{300}", "|ł»¢„“”\u{301}•·"],
            ["¬¡⅛£$⅜⅝⅞™±°¿", "Æ<¢®Ŧ¥↑ıØÞ", "ΩẞÐªŊĦ &Łº", "¦Ł>©‚‘’ ×÷"],
        ],
    },
    Map {
        name: "es",
        about: "Spanish",
        levels: [
            ["º1234567890'¡", "qwertyuiop\u{300}+", "asdfghjklñ\u{301}ç", "<zxcvbnm,.-"],
            ["ª!\"·$%&/()=?¿", "QWERTYUIOP\u{302}*", "ASDFGHJKLÑ\u{308}Ç", ">ZXCVBNM;:_"],
            ["\\|@#~½¬{[]}\\", "@ſ€¶ŧ←↓→øþ[]", "æßðđŋħ ĸł\u{303}{}", "|«»¢„“”µ•·"],
            ["\\¡⅛£$⅜⅝⅞™±°¿", "Ω§¢®Ŧ¥↑ıØÞ", "ÆẞÐªŊĦ &Ł", "¦<>©‚‘’º×÷"],
        ],
    },
    Map {
        name: "it",
        about: "Italian",
        levels: [
            ["\\1234567890'ì", "qwertyuiopè+", "asdfghjklòàù", "<zxcvbnm,.-"],
            ["|!\"£$%&/()=?^", "QWERTYUIOPé*", "ASDFGHJKLç°§", ">ZXCVBNM;:_"],
            ["¬¹²³¼½¬{[]}`~", "@ſ€¶ŧ←↓→øþ[]", "æßðđŋħ ĸł@#\u{300}", "««»¢“”ñµ\u{301}·"],
            ["¦¡ \u{303}⅛⅜⅝⅞™± ¿\u{302}", "Ω§¢®Ŧ¥↑ıØÞ{}", "ÆẞÐªŊĦ &Ł", "»<>©‘’Ñº×\u{308}÷"],
        ],
    },
];

impl Layout {
    /// Every one there is.
    pub fn all() -> impl Iterator<Item = Layout> {
        LAYOUTS.iter().map(Layout)
    }

    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whose it is.
    pub fn about(self) -> &'static str {
        self.0.about
    }

    /// The strokes that give `c`: none when the layout has no such character, two with a dead key.
    pub fn strokes(self, c: char) -> Vec<Stroke> {
        if let Some(stroke) = self.stroke(c) {
            return vec![stroke];
        }
        for (dead, bases, results) in COMPOSED {
            let base = bases.chars().zip(results.chars()).find(|(_, result)| *result == c).map(|(base, _)| base);
            if let Some(two) = base.and_then(|base| Some(vec![self.stroke(dead)?, self.stroke(base)?])) {
                return two;
            }
        }
        Vec::new()
    }

    fn stroke(self, c: char) -> Option<Stroke> {
        if let Some((_, code)) = COMMON.iter().find(|(common, _)| *common == c) {
            return Some(Stroke { code: *code, shift: false, altgr: false });
        }
        for (level, rows) in self.0.levels.iter().enumerate() {
            for (row, keys) in rows.iter().zip(ROWS) {
                if let Some((_, code)) = row.chars().zip(keys).find(|(there, _)| *there == c) {
                    return Some(Stroke { code: *code, shift: level & 1 != 0, altgr: level & 2 != 0 });
                }
            }
        }
        None
    }
}

/// The first.
impl Default for Layout {
    fn default() -> Layout {
        const { Layout(&LAYOUTS[0]) }
    }
}

impl FromStr for Layout {
    type Err = anyhow::Error;
    fn from_str(name: &str) -> Result<Layout> {
        let names = || LAYOUTS.iter().map(|l| l.name).collect::<Vec<_>>().join(", ");
        let found = Layout::all().find(|l| l.name() == name);
        found.with_context(|| format!("no keyboard layout is called `{name}`; there are: {}", names()))
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Layout {
    fn eq(&self, other: &Layout) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Layout {}
