//! Line charts as pictures: panels side by side that share both axes and the legend.
//!
//! Everything is drawn twice as large and scaled down at the end, which smooths the lines.

use std::ops::RangeInclusive;

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

use super::letters::{INK, write};

/// Factor by which everything is drawn larger.
const FINE: u32 = 2;
/// Size of a panel's plot, in pixels of the finished picture.
const PLOT: (u32, u32) = (480, 360);
/// Room to the left, above, between panels and below.
const LEFT: u32 = 72;
const TOP: u32 = 56;
const GAP: u32 = 32;
const BOTTOM: u32 = 88;
/// Side of a letter.
const LETTER: u32 = 12;
/// Ticks of an axis, at most.
const TICKS: usize = 9;

const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
const GRID: Rgb<u8> = Rgb([225, 225, 225]);
/// The lines' colours in turn, tellable apart without seeing red or green (Okabe & Ito 2008).
const COLOURS: [Rgb<u8>; 5] =
    [Rgb([0, 114, 178]), Rgb([230, 159, 0]), Rgb([0, 158, 115]), Rgb([213, 94, 0]), Rgb([204, 121, 167])];

/// A line with more points than that has no dots on them.
const MOST_DOTS: usize = 100;

/// How numbers lie along the axis y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// A named line through points; those that the scale cannot show are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What the legend calls it.
    pub label: String,
    /// Places on both axes.
    pub points: Vec<(f64, f64)>,
}

/// A plot with its heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Stands above it.
    pub title: String,
    /// The same names in every panel, in the same order; the first lie on top.
    pub lines: Vec<Line>,
}

/// Draws `panels` over a linear axis `x` and an axis `y` of this scale, with these names.
pub fn draw(panels: &[Panel], x: &str, y: &str, scale: Scale) -> RgbImage {
    let count = panels.len() as u32;
    let width = LEFT + count * (PLOT.0 + GAP);
    let mut canvas = Canvas(RgbImage::from_pixel(FINE * width, FINE * (TOP + PLOT.1 + BOTTOM), WHITE));
    let axes = Axes::around(panels, scale);
    canvas.text(8, TOP - 2 * LETTER - 8, y);
    for (index, panel) in panels.iter().enumerate() {
        let left = LEFT + index as u32 * (PLOT.0 + GAP);
        axes.draw(&mut canvas, left, index == 0, x);
        let title = panel.title.as_str();
        canvas.text(left + PLOT.0.saturating_sub(width_of(title)) / 2, TOP - LETTER - 10, title);
        for (line, colour) in coloured(&panel.lines).rev() {
            let places: Vec<_> = line.points.iter().filter_map(|&point| axes.place(left, point)).collect();
            places.windows(2).for_each(|pair| canvas.stroke(pair[0], pair[1], 2.0, colour));
            let dots = if places.len() > MOST_DOTS { &[] } else { &places[..] };
            dots.iter().for_each(|&place| canvas.stroke(place, place, 4.0, colour));
        }
    }
    panels.iter().take(1).for_each(|panel| legend(&mut canvas, &panel.lines));
    resize(&canvas.0, canvas.0.width() / FINE, canvas.0.height() / FINE, FilterType::Triangle)
}

/// The lines with their colours.
fn coloured(lines: &[Line]) -> impl DoubleEndedIterator<Item = (&Line, Rgb<u8>)> {
    lines.iter().enumerate().map(|(index, line)| (line, COLOURS[index % COLOURS.len()]))
}

/// The lines' names, in a row below the plots.
fn legend(canvas: &mut Canvas, lines: &[Line]) {
    let row = TOP + PLOT.1 + BOTTOM - LETTER - 8;
    let mut left = LEFT;
    for (line, colour) in coloured(lines) {
        let middle = f64::from(row + LETTER / 2);
        canvas.stroke((f64::from(left), middle), (f64::from(left + 24), middle), 3.0, colour);
        canvas.text(left + 32, row, &line.label);
        left += 64 + width_of(&line.label);
    }
}

fn width_of(text: &str) -> u32 {
    LETTER * text.chars().count() as u32
}

/// What the axes span: numbers along x, numbers or powers of ten along y.
struct Axes {
    x: RangeInclusive<f64>,
    y: RangeInclusive<f64>,
    scale: Scale,
}

impl Axes {
    fn around(panels: &[Panel], scale: Scale) -> Self {
        let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let right = points().map(|point| point.0).fold(1.0, f64::max);
        let heights = || points().filter_map(|point| scale.height(point.1));
        let low = heights().fold(f64::INFINITY, f64::min);
        let high = heights().fold(f64::NEG_INFINITY, f64::max);
        let y = match scale {
            Scale::Linear => 0.0..=high.max(f64::MIN_POSITIVE),
            Scale::Logarithmic if low <= high => low.floor()..=high.ceil().max(low.floor() + 1.0),
            Scale::Logarithmic => 0.0..=1.0,
        };
        Self { x: 0.0..=right, y, scale }
    }

    /// Where a point lies in the panel whose plot begins at `left`.
    fn place(&self, left: u32, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        self.scale.height(y).map(|height| self.at(left, x, height))
    }

    /// The same for a height in the scale's own units.
    fn at(&self, left: u32, x: f64, height: f64) -> (f64, f64) {
        let along = (x - self.x.start()) / (self.x.end() - self.x.start());
        let up = (height - self.y.start()) / (self.y.end() - self.y.start());
        (f64::from(left) + along * f64::from(PLOT.0), f64::from(TOP) + (1.0 - up) * f64::from(PLOT.1))
    }

    /// Grid, ticks and frame; numbers along y where `first`.
    fn draw(&self, canvas: &mut Canvas, left: u32, first: bool, name: &str) {
        let [(x0, x1), (y0, y1)] = [&self.x, &self.y].map(|span| (*span.start(), *span.end()));
        let mut line = |from: (f64, f64), to: (f64, f64), width: f64, colour: Rgb<u8>| {
            canvas.stroke(self.at(left, from.0, from.1), self.at(left, to.0, to.1), width, colour);
        };
        ticks(&self.y).for_each(|tick| line((x0, tick), (x1, tick), 1.0, GRID));
        ticks(&self.x).for_each(|tick| line((tick, y0), (tick, y1), 1.0, GRID));
        line((x0, y0), (x1, y0), 1.5, INK);
        line((x0, y0), (x0, y1), 1.5, INK);
        for tick in ticks(&self.y).filter(|_| first) {
            let text = match self.scale {
                Scale::Linear => format!("{tick}"),
                Scale::Logarithmic => format!("1e{tick}"),
            };
            let row = self.at(left, x0, tick).1 as u32 - LETTER / 2;
            canvas.text((left - 6).saturating_sub(width_of(&text)), row, &text);
        }
        for tick in ticks(&self.x) {
            let text = format!("{tick}");
            let column = self.at(left, tick, y0).0 as u32 - width_of(&text) / 2;
            canvas.text(column, TOP + PLOT.1 + 8, &text);
        }
        canvas.text(left + PLOT.0.saturating_sub(width_of(name)) / 2, TOP + PLOT.1 + LETTER + 20, name);
    }
}

impl Scale {
    /// Where a number lies, in the scale's own units.
    fn height(self, y: f64) -> Option<f64> {
        let height = if self == Self::Linear { y } else { y.log10() };
        Some(height).filter(|height| height.is_finite())
    }
}

/// Round numbers within `span`, from its start.
fn ticks(span: &RangeInclusive<f64>) -> impl Iterator<Item = f64> + use<> {
    let (start, end) = (*span.start(), *span.end());
    let step = tick_step(end - start);
    (0..).map(move |index| start + f64::from(index) * step).take_while(move |tick| *tick <= end)
}

/// The smallest of 1, 2, 5, 10, 20, ... that cuts `span` into few enough pieces.
fn tick_step(span: f64) -> f64 {
    let steps = (0..).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    steps.take(60).find(|step| span / step < TICKS as f64).unwrap_or(span)
}

/// A picture under way; places and sizes are those of the finished one.
struct Canvas(RgbImage);

impl Canvas {
    /// A straight line of round dots, `width` thick.
    fn stroke(&mut self, from: (f64, f64), to: (f64, f64), width: f64, colour: Rgb<u8>) {
        let fine = f64::from(FINE);
        let (dx, dy) = (fine * (to.0 - from.0), fine * (to.1 - from.1));
        let dots = dx.abs().max(dy.abs()).ceil().max(1.0);
        for dot in 0..=dots as u32 {
            let share = f64::from(dot) / dots;
            self.dot(fine * from.0 + share * dx, fine * from.1 + share * dy, fine * width / 2.0, colour);
        }
    }

    fn dot(&mut self, x: f64, y: f64, radius: f64, colour: Rgb<u8>) {
        let reach = radius.ceil() as i64;
        for row in y as i64 - reach..=y as i64 + reach {
            for column in x as i64 - reach..=x as i64 + reach {
                let inside = (column as f64 - x).hypot(row as f64 - y) <= radius;
                if let (true, Ok(column), Ok(row)) = (inside, u32::try_from(column), u32::try_from(row))
                    && let Some(pixel) = self.0.get_pixel_mut_checked(column, row)
                {
                    *pixel = colour;
                }
            }
        }
    }

    /// One line of text whose upper left corner is at (`x`, `y`).
    fn text(&mut self, x: u32, y: u32, text: &str) {
        write(&mut self.0, text, [FINE * x, FINE * y], FINE * LETTER / 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(points: &[(f64, f64)]) -> Panel {
        Panel { title: "t".into(), lines: vec![Line { label: "l".into(), points: points.to_vec() }] }
    }

    #[test]
    fn points_lie_where_their_logarithms_say() {
        let panels = [panel(&[(0.0, 1e-4), (10.0, 1.0)])];
        let axes = Axes::around(&panels, Scale::Logarithmic);
        let (width, height) = (f64::from(PLOT.0), f64::from(PLOT.1));
        let (left, top) = (f64::from(LEFT), f64::from(TOP));
        assert_eq!(axes.place(LEFT, (0.0, 1e-4)), Some((left, top + height)));
        assert_eq!(axes.place(LEFT, (10.0, 1.0)), Some((left + width, top)));
        let middle = axes.place(LEFT, (5.0, 1e-2)).unwrap();
        assert!((middle.0 - left - width / 2.0).abs() < 1e-9 && (middle.1 - top - height / 2.0).abs() < 1e-9);
        assert_eq!(axes.place(LEFT, (5.0, 0.0)), None);
        let axes = Axes::around(&[panel(&[(0.0, 2.0), (10.0, 4.0)])], Scale::Linear);
        assert_eq!(axes.place(LEFT, (0.0, 2.0)), Some((left, top + height / 2.0)));
    }

    #[test]
    fn a_line_has_its_colour_and_nothing_is_needed_to_draw() {
        let picture = draw(&[panel(&[(0.0, 1.0), (10.0, 1.0), (10.0, 10.0)])], "x", "y", Scale::Logarithmic);
        let along = picture.get_pixel(LEFT + PLOT.0 / 2, TOP + PLOT.1 - 1);
        assert!(along.0[2] > along.0[0], "{along:?} is not blue");
        for scale in [Scale::Linear, Scale::Logarithmic] {
            draw(&[panel(&[]), panel(&[(1.0, 0.0), (2.0, f64::NAN)])], "x", "y", scale);
        }
    }

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!([1.0, 8.0, 9.0, 18.0, 40.0, 100.0].map(tick_step), [1.0, 1.0, 2.0, 5.0, 5.0, 20.0]);
    }
}
