//! A text as a picture that a camera reads (QR code, ISO/IEC 18004). It is drawn into the page as one path, so nothing is loaded
//! and nothing of it is style.

use std::fmt::Write as _;

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

/// Light squares that stand around the others (section 9.1).
const QUIET: usize = 4;

/// What a page draws.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// How many squares it is wide and high.
    pub side: usize,
    /// The dark ones, as a path of SVG: each run of them in a row is one rectangle.
    pub path: String,
}

impl Picture {
    /// None of a text that is too long for any.
    pub(super) fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (row, squares) in code.to_colors().chunks(width).enumerate() {
            let mut column = 0;
            for run in squares.chunk_by(|one, next| one == next) {
                if run.first() == Some(&Color::Dark) {
                    let (x, y, long) = (column + QUIET, row + QUIET, run.len());
                    // Writing to a String cannot fail.
                    let _ = write!(path, "M{x} {y}h{long}v1h-{long}z");
                }
                column += run.len();
            }
        }
        Some(Self { side: width + 2 * QUIET, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The squares that a path darkens, row by row.
    fn drawn(picture: &Picture) -> Vec<Vec<bool>> {
        let mut squares = vec![vec![false; picture.side]; picture.side];
        for run in picture.path.split('M').skip(1) {
            let (at, rest) = run.split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let long: usize = rest.split_once("v1h-").unwrap().0.parse().unwrap();
            assert_eq!(rest, format!("{long}v1h-{long}z"));
            for square in &mut squares[y][x..x + long] {
                assert!(!*square, "{run} is drawn twice");
                *square = true;
            }
        }
        squares
    }

    #[test]
    fn a_picture_has_the_dark_squares_of_the_code_within_its_margin() {
        let uri = "otpauth://totp/Acme%20%28id.example.com%29:ann%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let code = QrCode::with_error_correction_level(uri, EcLevel::M).unwrap();
        let picture = Picture::of(uri).unwrap();
        assert_eq!(picture.side, code.width() + 8);
        for (y, row) in drawn(&picture).into_iter().enumerate() {
            for (x, dark) in row.into_iter().enumerate() {
                let within = |it: usize| (QUIET..picture.side - QUIET).contains(&it);
                let expected = within(x) && within(y) && code[(x - QUIET, y - QUIET)] == Color::Dark;
                assert_eq!(dark, expected, "{x} {y}");
            }
        }
        // What a camera looks for stands in three corners.
        for corner in ["M4 4h7v1h-7z", &format!("M{} 4h7v1h-7z", picture.side - 11)] {
            assert!(picture.path.contains(corner), "{corner}");
        }
        assert!(picture.path.contains(&format!("M4 {}h7v1h-7z", picture.side - 5)));
    }

    #[test]
    fn what_no_picture_holds_has_none() {
        assert!(Picture::of(&"x".repeat(2_331)).is_some());
        assert_eq!(Picture::of(&"x".repeat(2_332)), None);
    }
}
