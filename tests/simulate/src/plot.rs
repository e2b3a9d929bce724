//! Curves as SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

const SIZE: (u32, u32) = (760, 460);
const FONT: &str = "sans-serif";

/// Told apart also by who sees few colours (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 0, 0),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(0, 114, 178),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// A plot of several lines. Upwards, each unit is ten times the one below.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// What is to the right.
    pub across: Across,
    /// What is upwards.
    pub up: &'static str,
    /// The lines by their names.
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

/// What is to the right.
#[derive(Clone, Copy, Debug)]
pub enum Across {
    /// A part, from 0 to 1.
    Part(&'static str),
    /// A number, where each unit is ten times the one before.
    Number(&'static str),
}

/// Why there is no plot.
pub type Failed = DrawingAreaErrorKind<std::io::Error>;

impl Plot {
    /// The plot as SVG.
    ///
    /// # Errors
    ///
    /// Where there is nothing to draw.
    pub fn svg(&self) -> Result<String, Failed> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let up = self.decades(|point| point.1);
            match self.across {
                Across::Part(what) => self.draw(&area, what, 0.0..1.0, up, SeriesLabelPosition::UpperLeft)?,
                Across::Number(what) => {
                    let across = self.decades(|point| point.0).log_scale();
                    self.draw(&area, what, across, up, SeriesLabelPosition::UpperRight)?;
                }
            }
            area.present()?;
        }
        Ok(svg)
    }

    /// The powers of ten between which all points are.
    fn decades(&self, of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
        let values = || self.lines.iter().flat_map(|(_, points)| points).map(|point| of(point).log10());
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        10_f64.powf(least.floor())..10_f64.powf(most.ceil().max(least.floor() + 1.0))
    }

    fn draw<X>(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        what: &str,
        across: X,
        up: Range<f64>,
        names: SeriesLabelPosition,
    ) -> Result<(), Failed>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 18))
            .margin(12)
            .margin_right(28)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(across, up.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(what)
            .y_desc(self.up)
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .max_light_lines(0)
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            let line = chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(2))?;
            line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(names)
            .label_font((FONT, 14))
            .background_style(WHITE)
            .border_style(BLACK.mix(0.2))
            .draw()
    }
}

/// Without what adding up tenths leaves behind.
fn label(value: &f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}
