//! The canvas: lines, areas and text in pixels of the default size, on any backend of plotters.
//!
//! Backends take whole pixels only, so a picture is drawn enlarged: tenfold for SVG (and shown at
//! its default size), fourfold for PNG (and averaged down to twofold, which smooths all edges).
//! Thick lines on bitmaps are drawn as one small area a segment, since plotters' own outlines of
//! thick paths cross themselves.
//!
//! Source: plotters.
//! Left out: dashed curves, gradients, clipping; nothing is drawn outside of the axes.

use super::style::{EX_EM, LINE_EM, WHITE, clean, escape, font};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, RGBColor, ShapeStyle, TextStyle};

/// A place in pixels of the default size, from the upper left corner.
pub(super) type Point = (f64, f64);

/// Units a pixel in an SVG document.
const SVG_ZOOM: u32 = 10;
/// Pixels of a PNG file for one of the default size.
const PNG_SCALE: u32 = 2;
/// Pixels drawn for one of a PNG file, each way.
const SMOOTHING: u32 = 2;
/// Pixels in a metre at 96 dots an inch.
const PIXELS_PER_METRE: u32 = 3_780;
const IN_MEMORY: &str = "a picture in memory can be drawn on";

/// Something that can be drawn.
pub(super) trait Drawing {
    /// In words, for those who cannot see it.
    fn title(&self) -> String;
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it.
    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>);
}

/// Where a text stands relative to its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Anchor {
    /// Begins there.
    Left,
    /// Around it.
    Centre,
    /// Ends there.
    Right,
}

/// The shape of a marker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// A disc.
    Disc,
    /// A square on its side.
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle, point up.
    Triangle,
}

/// A backend with a zoom.
pub(super) struct Canvas<'a, DB: DrawingBackend> {
    backend: &'a mut DB,
    zoom: f64,
    vector: bool,
}

/// The drawing as an SVG document; `note` is said with its title.
pub(super) fn svg(drawing: &impl Drawing, note: Option<&str>) -> String {
    let (width, height) = drawing.size();
    let mut svg = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut svg, (width * SVG_ZOOM, height * SVG_ZOOM));
        let zoom = f64::from(SVG_ZOOM);
        drawing.draw(&mut Canvas { backend: &mut backend, zoom, vector: true });
        backend.present().expect(IN_MEMORY);
    }
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {} {}\" role=\"img\" stroke-linejoin=\"round\">\n<title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>{body}",
        width * SVG_ZOOM,
        height * SVG_ZOOM,
        escape(&noted(&drawing.title(), note)),
    )
}

/// A title with a note behind it.
pub(super) fn noted(title: &str, note: Option<&str>) -> String {
    note.map_or_else(|| title.to_owned(), |note| format!("{title}; {note}"))
}

/// The drawing as a PNG file; `note` is its comment, in Latin letters.
pub(super) fn png(drawing: &impl Drawing, note: Option<&str>) -> Vec<u8> {
    let zoom = PNG_SCALE * SMOOTHING;
    let (width, height) = drawing.size();
    let (wide, high) = (width * zoom, height * zoom);
    let mut pixels = vec![WHITE.0; (wide * high * 3) as usize];
    {
        let mut backend = BitMapBackend::with_buffer(&mut pixels, (wide, high));
        drawing.draw(&mut Canvas { backend: &mut backend, zoom: f64::from(zoom), vector: false });
        backend.present().expect(IN_MEMORY);
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width * PNG_SCALE, height * PNG_SCALE);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_adaptive_filter(png::AdaptiveFilterType::NonAdaptive);
    encoder.set_filter(png::FilterType::Up);
    let (xppu, unit) = (PIXELS_PER_METRE * PNG_SCALE, png::Unit::Meter);
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu, yppu: xppu, unit }));
    if let Some(note) = note {
        encoder.add_text_chunk("Comment".to_owned(), note.to_owned()).expect(IN_MEMORY);
    }
    let mut writer = encoder.write_header().expect(IN_MEMORY);
    writer.write_image_data(&averaged(&pixels, wide as usize)).expect(IN_MEMORY);
    writer.finish().expect(IN_MEMORY);
    file
}

/// The bitmap (3 bytes a pixel) with each square of 2 × 2 pixels made one.
fn averaged(pixels: &[u8], wide: usize) -> Vec<u8> {
    // Most stretches have one colour and are copied: averaging all takes long in debug builds.
    const STRETCH: usize = 3 * 2 * 16;
    let mut small = Vec::with_capacity(pixels.len() / 4);
    for rows in pixels.chunks_exact(2 * 3 * wide) {
        let (upper, lower) = rows.split_at(3 * wide);
        for (a, b) in upper.chunks(STRETCH).zip(lower.chunks(STRETCH)) {
            if a == b && a[3..] == a[..a.len() - 3] {
                small.extend_from_slice(&a[..a.len() / 2]);
            } else {
                average(a, b, &mut small);
            }
        }
    }
    small
}

/// Makes one pixel of each two of the upper and the two of the lower row.
fn average(upper: &[u8], lower: &[u8], small: &mut Vec<u8>) {
    for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
        for channel in 0..3 {
            let sum = [a[channel], a[channel + 3], b[channel], b[channel + 3]];
            let sum: u16 = sum.into_iter().map(u16::from).sum();
            small.push(u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX));
        }
    }
}

impl<DB: DrawingBackend> Canvas<'_, DB> {
    /// A rectangle between two corners.
    pub(super) fn rect(&mut self, from: Point, to: Point, colour: RGBColor, alpha: f64) {
        let (from, to) = (self.place(from), self.place(to));
        let low = (from.0.min(to.0), from.1.min(to.1));
        let high = (from.0.max(to.0), from.1.max(to.1));
        if low.0 < high.0 && low.1 < high.1 {
            let style = fill(colour, alpha);
            self.backend.draw_rect(low, high, &style, true).expect(IN_MEMORY);
        }
    }

    /// A horizontal line, one pixel high.
    pub(super) fn across(&mut self, y: f64, x: (f64, f64), colour: RGBColor) {
        let y = y.floor();
        self.rect((x.0, y), (x.1, y + 1.0), colour, 1.0);
    }

    /// A vertical line, one pixel wide.
    pub(super) fn upright(&mut self, x: f64, y: (f64, f64), colour: RGBColor) {
        let x = x.floor();
        self.rect((x, y.0), (x + 1.0, y.1), colour, 1.0);
    }

    /// A dashed vertical line.
    pub(super) fn dashed_upright(&mut self, x: f64, y: (f64, f64), colour: RGBColor) {
        let mut from = y.0;
        while from < y.1 {
            self.upright(x, (from, (from + 4.0).min(y.1)), colour);
            from += 7.0;
        }
    }

    /// A line through all points, `width` wide.
    pub(super) fn line(&mut self, points: &[Point], width: f64, colour: RGBColor) {
        let stroke_width = to_i32(width * self.zoom).unsigned_abs().max(1);
        if self.vector {
            let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width };
            let places: Vec<_> = points.iter().map(|&point| self.place(point)).collect();
            self.backend.draw_path(places, &style).expect(IN_MEMORY);
            return;
        }
        for pair in points.windows(2) {
            self.segment(pair[0], pair[1], width, colour);
        }
        for &point in points.iter().take(points.len().saturating_sub(1)).skip(1) {
            // A little less than the line is wide, or corners of steps have knobs.
            self.disc(point, width / 2.0 - 0.2, colour);
        }
    }

    /// One straight piece of a line on a bitmap.
    fn segment(&mut self, from: Point, to: Point, width: f64, colour: RGBColor) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let (half, length) = (width / 2.0, libm::sqrt(dx * dx + dy * dy));
        if dx.abs() < 1e-6 || dy.abs() < 1e-6 {
            // Square ends, so that corners of steps are closed.
            let low = (from.0.min(to.0) - half, from.1.min(to.1) - half);
            let high = (from.0.max(to.0) + half, from.1.max(to.1) + half);
            self.rect(low, high, colour, 1.0);
        } else {
            let (nx, ny) = (-dy / length * half, dx / length * half);
            let corners = [
                (from.0 + nx, from.1 + ny),
                (to.0 + nx, to.1 + ny),
                (to.0 - nx, to.1 - ny),
                (from.0 - nx, from.1 - ny),
            ];
            self.area(&corners, colour, 1.0);
        }
    }

    /// A filled area.
    pub(super) fn area(&mut self, corners: &[Point], colour: RGBColor, alpha: f64) {
        let places: Vec<_> = corners.iter().map(|&point| self.place(point)).collect();
        self.backend.fill_polygon(places, &fill(colour, alpha)).expect(IN_MEMORY);
    }

    /// A disc.
    pub(super) fn disc(&mut self, at: Point, radius: f64, colour: RGBColor) {
        let radius = to_i32(radius * self.zoom).unsigned_abs();
        let at = self.place(at);
        self.backend.draw_circle(at, radius, &fill(colour, 1.0), true).expect(IN_MEMORY);
    }

    /// A marker with a white rim.
    pub(super) fn marker(&mut self, shape: Shape, at: Point, colour: RGBColor) {
        for (radius, colour) in [(5.5, WHITE), (4.2, colour)] {
            let (x, y, r) = (at.0, at.1, radius * 0.85);
            match shape {
                Shape::Disc => self.disc(at, radius, colour),
                Shape::Square => self.rect((x - r, y - r), (x + r, y + r), colour, 1.0),
                Shape::Diamond => {
                    let r = radius * 1.2;
                    self.area(&[(x, y - r), (x + r, y), (x, y + r), (x - r, y)], colour, 1.0);
                }
                Shape::Triangle => {
                    let (r, foot) = (radius * 1.15, y + radius * 0.8);
                    self.area(&[(x, y - r), (x + r, foot), (x - r, foot)], colour, 1.0);
                }
            }
        }
    }

    /// A text whose baseline is at `at`; answers nothing, see [`super::style::text_width`].
    pub(super) fn text(&mut self, at: Point, anchor: Anchor, size: f64, ink: RGBColor, text: &str) {
        let (up, transform) = (self.baseline(size), FontTransform::None);
        self.write((at.0, at.1 - up), (anchor, transform), size, ink, text);
    }

    /// A text that runs upwards around `at`, its baseline to the right.
    pub(super) fn text_upwards(&mut self, at: Point, size: f64, ink: RGBColor, text: &str) {
        let (left, transform) = (self.baseline(size), FontTransform::Rotate270);
        self.write((at.0 - left, at.1), (Anchor::Centre, transform), size, ink, text);
    }

    /// How far the baseline is from the place that the backend is told.
    fn baseline(&self, size: f64) -> f64 {
        if self.vector { size * EX_EM / 2.0 } else { size * LINE_EM / 2.0 }
    }

    fn write(
        &mut self,
        at: Point,
        (anchor, transform): (Anchor, FontTransform),
        size: f64,
        ink: RGBColor,
        text: &str,
    ) {
        // SVG text is written with size / 1.24, bitmaps are drawn with size / line height.
        let size = size * self.zoom * if self.vector { 1.24 } else { LINE_EM };
        let h_pos = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let v_pos = if self.vector { VPos::Center } else { VPos::Top };
        let style = TextStyle::from(font(size).transform(transform))
            .color(&ink)
            .pos(Pos::new(h_pos, v_pos));
        let at = self.place(at);
        self.backend.draw_text(&clean(text), &style, at).expect(IN_MEMORY);
    }

    fn place(&self, at: Point) -> (i32, i32) {
        (to_i32(at.0 * self.zoom), to_i32(at.1 * self.zoom))
    }
}

fn fill(colour: RGBColor, alpha: f64) -> ShapeStyle {
    ShapeStyle { color: colour.mix(alpha), filled: true, stroke_width: 1 }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded; saturates outside of every picture")]
fn to_i32(value: f64) -> i32 {
    debug_assert!(value.is_finite(), "a coordinate is a number");
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pixels_become_their_mean() {
        let upper = [0, 10, 255, 4, 20, 255, 7, 7, 7, 7, 7, 7];
        let lower = [0, 30, 255, 4, 40, 254, 7, 7, 7, 7, 7, 7];
        assert_eq!(averaged(&[upper, lower].concat(), 4), [2, 25, 255, 7, 7, 7]);
        assert_eq!(averaged(&[9; 3 * 2 * 400], 400), [9; 3 * 200]);
    }
}
