//! What pictures look like: the font, the sizes of text, the colours.
//!
//! Source: Okabe and Ito, "Color Universal Design" (2008), without their yellow, which vanishes on
//! white. `DejaVu` Sans is compiled in (`assets/README.md`): no system font is read.
//! Left out: bold and italic faces; titles differ by size and shade.

use plotters::style::{FontDesc, FontFamily, FontStyle, RGBColor, register_font};
use std::sync::Once;

/// What SVG viewers are told; the first one is what PNG files are drawn with.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Height of the font's line (ascent + descent) in ems: plotters' bitmaps take this as the size.
pub(super) const LINE_EM: f64 = (1901.0 + 483.0) / 2048.0;
/// Height of the letter x in ems.
pub(super) const EX_EM: f64 = 1120.0 / 2048.0;

static FONT: &[u8] = include_bytes!("../../../assets/DejaVuSans-subset.ttf");

/// Sizes of text in pixels of an em.
pub(super) const TITLE: f64 = 17.0;
/// The claim, the titles of panels.
pub(super) const TEXT: f64 = 12.5;
/// Ticks, legends, events.
pub(super) const SMALL: f64 = 11.0;

/// Titles.
pub(super) const BLACK: RGBColor = RGBColor(0x1b, 0x1f, 0x24);
/// Text beside the data.
pub(super) const GREY: RGBColor = RGBColor(0x57, 0x60, 0x6a);
/// Frames, total counts.
pub(super) const MID: RGBColor = RGBColor(0x8c, 0x95, 0x9f);
/// Grid lines.
pub(super) const PALE: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
/// Behind all.
pub(super) const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// What is well.
pub(super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
/// A second thing that is well.
pub(super) const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
/// Certificates, pods.
pub(super) const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
/// A little wrong.
pub(super) const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
/// What failed.
pub(super) const VERMILLION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
/// Text beside what is orange: orange itself is too light to read.
pub(super) const BROWN: RGBColor = RGBColor(0x8a, 0x5c, 0x00);
/// Text beside what is vermillion.
pub(super) const RUST: RGBColor = RGBColor(0xb0, 0x48, 0x00);
/// Purple of the palette.
pub(super) const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);
/// Failed nearly always: darker than vermillion, to be told from it in grey too.
pub(super) const CRIMSON: RGBColor = RGBColor(0x9b, 0x1c, 0x1c);

/// One a curve, neighbours far apart in hue and in lightness.
pub(super) const CURVES: [RGBColor; 8] = [BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, BLACK, MID];

/// `#rrggbb`.
pub(super) fn hex(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}

/// The colour on white at some opacity: for keys of transparent areas.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
pub(super) fn mixed(colour: RGBColor, alpha: f64) -> RGBColor {
    let mix = |part: u8| (f64::from(part) * alpha + 255.0 * (1.0 - alpha)).round() as u8;
    RGBColor(mix(colour.0), mix(colour.1), mix(colour.2))
}

/// Makes the font known to plotters, once.
pub(super) fn font(size: f64) -> FontDesc<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = register_font(FAMILY, FontStyle::Normal, FONT);
        assert!(registered.is_ok(), "the font that is compiled in is a font");
    });
    FontDesc::new(FontFamily::Name(FAMILY), size, FontStyle::Normal)
}

/// The width of a text in pixels, at `size` pixels an em.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    // plotters answers in whole pixels: ask for a thousand of them an em.
    let (width, _) = font(1000.0 * LINE_EM).box_size(&clean(text)).expect("the font is known");
    f64::from(width) * size / 1000.0
}

/// The text, cut with an ellipsis so that it is at most `width` wide.
pub(super) fn fit(text: &str, size: f64, width: f64) -> String {
    let text = clean(text);
    if text_width(&text, size) <= width {
        return text;
    }
    let mut kept = String::new();
    let mut used = text_width("…", size);
    for letter in text.chars() {
        used += text_width(letter.encode_utf8(&mut [0; 4]), size);
        if used > width {
            break;
        }
        kept.push(letter);
    }
    kept.truncate(kept.trim_end().len());
    kept + "…"
}

/// The text in at most `lines` lines of at most `width`, the last one cut if it must be.
pub(super) fn wrap(text: &str, size: f64, width: f64, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while words.peek().is_some() {
        if wrapped.len() + 1 == lines {
            wrapped.push(fit(&words.collect::<Vec<_>>().join(" "), size, width));
            break;
        }
        let mut line = words.next().unwrap_or_default().to_owned();
        while let Some(word) = words.peek() {
            let longer = format!("{line} {word}");
            if width < text_width(&longer, size) {
                break;
            }
            line = longer;
            words.next();
        }
        wrapped.push(fit(&line, size, width));
    }
    wrapped
}

/// The text without what is not allowed in XML and without what turns the direction of writing.
pub(super) fn clean(text: &str) -> String {
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}'..='\u{ffff}')
    };
    text.chars().map(|c| if bad(c) { '\u{fffd}' } else { c }).collect()
}

/// The text as it may stand in XML, between tags or in an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 (FIPS 180-4); the constants are made from primes as the standard says.
    fn sha256(data: &[u8]) -> String {
        let primes: Vec<u32> =
            (2_u32..312).filter(|n| (2..*n).all(|divisor| n % divisor != 0)).collect();
        // 32 bits after the point of the `root`-th root of n, in integers.
        let fraction = |n: u32, root: u32| {
            let target = u128::from(n) << (32 * root);
            let (mut low, mut high) = (0_u128, 1 << 37);
            while 1 < high - low {
                let middle = u128::midpoint(low, high);
                if middle.pow(root) <= target { low = middle } else { high = middle }
            }
            (low & 0xffff_ffff) as u32
        };
        let k: Vec<u32> = primes.iter().map(|&prime| fraction(prime, 3)).collect();
        let mut state: Vec<u32> = primes[..8].iter().map(|&prime| fraction(prime, 2)).collect();
        let mut message = data.to_vec();
        message.push(0x80);
        while message.len() % 64 != 56 {
            message.push(0);
        }
        message.extend((data.len() as u64 * 8).to_be_bytes());
        for block in message.chunks(64) {
            let mut w: Vec<u32> =
                block.chunks(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
            for i in 16..64 {
                let (a, b) = (w[i - 15], w[i - 2]);
                let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
                let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
                w.push(w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1));
            }
            let mut v = state.clone();
            for i in 0..64 {
                let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
                let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
                let one = [s1, choice, k[i], w[i]].iter().fold(v[7], |a, &b| a.wrapping_add(b));
                let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
                let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
                v.rotate_right(1);
                v[4] = v[4].wrapping_add(one);
                v[0] = one.wrapping_add(s0).wrapping_add(majority);
            }
            state.iter_mut().zip(v).for_each(|(s, v)| *s = s.wrapping_add(v));
        }
        state.iter().map(|word| format!("{word:08x}")).collect::<Vec<_>>().concat()
    }

    #[test]
    fn the_font_is_the_one_that_the_readme_names() {
        assert!(sha256(b"abc").starts_with("ba7816bf8f01cfea414140de5dae2223"));
        let readme = include_str!("../../../assets/README.md");
        assert!(readme.contains(&sha256(FONT)), "the font's checksum is {}", sha256(FONT));
    }

    #[test]
    fn long_names_are_cut_to_the_width() {
        assert_eq!(fit("reviews", SMALL, 100.0), "reviews");
        let name = fit(&"reviews".repeat(30), SMALL, 100.0);
        assert!(name.ends_with('…') && text_width(&name, SMALL) <= 100.0, "{name}");
        let lines = wrap(&"nothing fails for hours ".repeat(30), TEXT, 300.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| text_width(line, TEXT) <= 300.0));
        assert!(wrap("", TEXT, 300.0, 2).is_empty());
    }

    #[test]
    fn hostile_names_are_escaped() {
        assert_eq!(
            escape("<a b='c'>&\u{0}\u{202e}"),
            "&lt;a b=&#39;c&#39;&gt;&amp;\u{fffd}\u{fffd}"
        );
    }
}
