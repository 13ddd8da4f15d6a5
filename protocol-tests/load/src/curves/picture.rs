//! The curves as one picture in SVG, readable on light and on dark pages.

use std::fmt::Write;

use super::Curve;
use super::record::{Point, Series};
use crate::report::shown;

/// A curve's part of the picture.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
/// What is left free around its axes: for words and numbers.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 46.0;
const COLUMNS: usize = 2;

const STYLE: &str = "
  text { font: 12px sans-serif; fill: #24292f } .title { font-weight: bold; font-size: 13px } .faint { fill: #57606a }
  .page { fill: #ffffff } .axis { stroke: #8c959f; fill: none } .grid { stroke: #d8dee4; fill: none }
  .line { fill: none; stroke-width: 2 } .s0 { stroke: #0969da } .s1 { stroke: #bc4c00 } .range { stroke-width: 1 }
  .d0 { fill: #0969da } .d1 { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .faint { fill: #9198a1 } .page { fill: #0d1117 } .axis { stroke: #656c76 }
    .grid { stroke: #2a313c } .s0 { stroke: #58a6ff } .s1 { stroke: #f0883e } .d0 { fill: #58a6ff } .d1 { fill: #f0883e }
  }
";

/// All curves side by side.
pub(super) fn svg(curves: &[(&Curve, Vec<Series>)]) -> String {
    let (width, rows) = (WIDTH * COLUMNS as f64, curves.len().div_ceil(COLUMNS));
    let height = HEIGHT * rows as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"How costs grow as the work grows\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for (number, (curve, series)) in curves.iter().enumerate() {
        let (left, top) = ((number % COLUMNS) as f64 * WIDTH, (number / COLUMNS) as f64 * HEIGHT);
        let _ = writeln!(svg, "<g transform=\"translate({left} {top})\">");
        draw(&mut svg, curve, series);
        svg.push_str("</g>\n");
    }
    svg + "</svg>\n"
}

/// Where a curve's values lie within its part of the picture: sizes by their logarithm, costs from 0 on.
struct Axes {
    smallest: f64,
    decades: f64,
    most: f64,
}

impl Axes {
    fn of(series: &[Series]) -> Self {
        let points = || series.iter().flat_map(|series| &series.points);
        let sizes = || points().map(|point| (point.size as f64).log10());
        let smallest = sizes().fold(f64::INFINITY, f64::min);
        let decades = (sizes().fold(smallest, f64::max) - smallest).max(1.0);
        let most = points().map(|point| point.high).fold(0.0, f64::max);
        Axes { smallest, decades, most: round_up(most * 1.1) }
    }

    fn x(&self, size: usize) -> f64 {
        LEFT + ((size as f64).log10() - self.smallest) / self.decades * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, cost: f64) -> f64 {
        HEIGHT - BOTTOM - cost / self.most * (HEIGHT - TOP - BOTTOM)
    }
}

/// The next of 1, 2, 3, 4, 6 or 8 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0].into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

fn draw(svg: &mut String, curve: &Curve, series: &[Series]) {
    let axes = Axes::of(series);
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let _ = writeln!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"18\">{}</text>", curve.title);
    let _ = writeln!(svg, "<text class=\"faint\" x=\"{LEFT}\" y=\"35\">{}</text>", curve.unit);
    for quarter in 0..=4 {
        let cost = axes.most * f64::from(quarter) / 4.0;
        let y = axes.y(cost);
        let class = if quarter == 0 { "axis" } else { "grid" };
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{right}\"/>");
        let (x, y, cost) = (LEFT - 6.0, y + 4.0, shown(cost));
        let _ =
            writeln!(svg, "<text class=\"faint\" x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{cost}</text>");
    }
    let mut decade = 10_f64.powf(axes.smallest.ceil()) as usize;
    while (decade as f64).log10() <= axes.smallest + axes.decades + 1e-9 {
        let (x, y) = (axes.x(decade), bottom + 16.0);
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{x:.1} {bottom}v4\"/>");
        let decade_words = grouped(decade);
        let _ = writeln!(
            svg,
            "<text class=\"faint\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{decade_words}</text>"
        );
        decade *= 10;
    }
    let (middle, below) = ((LEFT + right) / 2.0, bottom + 34.0);
    let _ = writeln!(
        svg,
        "<text class=\"faint\" x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
        curve.size
    );
    let mut names = right;
    for series in series.iter().rev() {
        let colour = colour_of(series);
        draw_series(svg, &axes, series, colour);
        let _ = writeln!(
            svg,
            "<text class=\"d{colour}\" x=\"{names}\" y=\"18\" text-anchor=\"end\">{}</text>",
            series.server
        );
        names -= 12.0 + 7.0 * series.server.len() as f64;
    }
}

/// The broker has the same colour in all of them.
fn colour_of(series: &Series) -> usize {
    usize::from(series.server.starts_with("ceiling"))
}

fn draw_series(svg: &mut String, axes: &Axes, series: &Series, colour: usize) {
    let mut path = String::new();
    for Point { size, low, median, high } in series.points.iter().copied() {
        let (x, y) = (axes.x(size), axes.y(median));
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
        let (low, high) = (axes.y(low), axes.y(high));
        let _ = writeln!(svg, "<path class=\"range s{colour}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
        let _ = writeln!(svg, "<circle class=\"d{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }
    let _ = writeln!(svg, "<path class=\"line s{colour}\" d=\"{path}\"/>");
}

/// With commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut words = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in
            [(0.0, 1.0), (0.9, 1.0), (1.01, 2.0), (37.0, 40.0), (85.0, 100.0), (1450.0, 2000.0)]
        {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}");
        }
        assert_eq!([1, 1000, 1_000_000].map(grouped), ["1", "1,000", "1,000,000"]);
    }

    #[test]
    fn every_point_is_in_the_picture() {
        let point = |size, median| Point { size, low: median, median, high: median };
        let series =
            Series { server: "heliostat".to_owned(), points: vec![point(10, 2.0), point(1000, 1.0)] };
        let axes = Axes::of(std::slice::from_ref(&series));
        for (size, cost) in [(10, 2.0), (1000, 1.0)] {
            let (x, y) = (axes.x(size), axes.y(cost));
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y), "{x} {y}");
        }
    }
}
