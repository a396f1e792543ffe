//! A picture of a text for a camera (QR code), in half blocks.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::Palette;

/// Two dots a character, with the quiet margin that the standard asks for; none when the text is too long.
///
/// With colours it is black on white. Without them its light parts are drawn, as most terminals are dark.
pub fn picture(text: &str, palette: Palette) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let mut picture = code.render::<Dense1x2>();
    if palette.is_on() {
        let drawn = picture.build();
        let painted = drawn.lines().flat_map(|line| ["\x1b[30;107m", line, "\x1b[0m\n"]);
        return Some(painted.collect());
    }
    Some(picture.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a camera reads.
    fn read(picture: &str, light: bool) -> String {
        let rows: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
        let side = rows[0].len();
        let drawn = |x: usize, y: usize| {
            let (upper, half) = (y.is_multiple_of(2), rows[y / 2][x]);
            half == '█' || half == if upper { '▀' } else { '▄' }
        };
        let big = |x: usize, y: usize| drawn(x / 4, y / 4) != light;
        let mut seen = rqrr::PreparedImage::prepare_from_bitmap(side * 4, side * 4, big);
        seen.detect_grids()[0].decode().unwrap().1
    }

    #[test]
    fn a_camera_reads_what_was_drawn() {
        let uri = "otpauth://totp/PVE%20pve1:nancy@pve?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=PVE%20pve1";
        let plain = picture(uri, Palette::new(false)).unwrap();
        assert_eq!(read(&plain, true), uri);
        let coloured = picture(uri, Palette::new(true)).unwrap();
        let bare: String = coloured.replace("\x1b[30;107m", "").replace("\x1b[0m", "");
        assert_eq!(read(&bare, false), uri);
        assert!(plain.lines().count() <= 24 && plain.lines().all(|line| line.chars().count() <= 47), "{plain}");
        assert_eq!(picture(&"x".repeat(3000), Palette::new(false)), None);
    }
}
