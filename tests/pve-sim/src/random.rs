//! Random identifiers.

use std::fmt::Write as _;

/// A random UUID (version 4).
pub fn uuid() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    openssl::rand::rand_bytes(&mut bytes)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
