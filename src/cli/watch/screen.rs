//! The screen: what is watched in words, its curves, and the points of a sweep.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph, Row as TableRow, Table, TableState};

use super::state::View;
use crate::curves;
use crate::draw;
use crate::error::escaped;
use crate::listing::Row;
use crate::listing::column::{self, Column};
use crate::report::table::{duration, number};

/// Colours of lines: those of the drawings, as far as terminals have them.
const COLOURS: [Color; 5] =
    [Color::Indexed(32), Color::Indexed(166), Color::Indexed(36), Color::Indexed(175), Color::Indexed(178)];

/// Rows of the table of points at most, with its head.
const TABLE: u16 = 10;

/// Draws everything.
pub fn draw(frame: &mut Frame, view: &View) {
    let is_sweep = view.rows.len() > 1;
    let table = if is_sweep { (view.rows.len() as u16 + 2).min(TABLE) } else { 0 };
    let [head, charts, points, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(6), Constraint::Length(table), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Paragraph::new(told(view)), head);
    draw_charts(frame, view, charts);
    if is_sweep {
        draw_points(frame, view, points);
    }
    let keys = if is_sweep { "q leaves   l log   x unit   ↑ ↓ point" } else { "q leaves   l log   x unit" };
    let foot_text = match &view.trouble {
        Some(trouble) => Span::styled(escaped(trouble), Style::new().fg(Color::Red)),
        None => Span::styled(keys, Style::new().add_modifier(Modifier::DIM)),
    };
    frame.render_widget(Paragraph::new(foot_text), foot);
}

/// What is watched, in words.
fn told(view: &View) -> Vec<Line<'static>> {
    let Some(row) = view.row() else { return Vec::new() };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let epochs = setting(row, "train.epochs").unwrap_or_default();
    let setting = |name: &str| setting(row, name).map(|value| format!("{value}  ")).unwrap_or_default();
    let numbers = row.last.as_ref().map_or_else(String::new, |last| {
        let measures = [
            ("train", last.train_loss, last.train_accuracy),
            ("valid", last.valid_loss, last.valid_accuracy),
            ("test", last.test_loss, last.test_accuracy),
        ];
        let words = measures.iter().filter(|(_, loss, _)| loss.is_some()).map(|(name, loss, accuracy)| {
            let accuracy = accuracy.map_or(String::new(), |share| format!(" {:.2} %", 100.0 * share));
            format!("{name} {}{accuracy}   ", number(*loss))
        });
        words.collect()
    });
    let time = row.seconds.map_or(String::new(), |seconds| format!("   {} of training", duration(seconds)));
    let left = left(row).map_or(String::new(), |seconds| format!(", {} left", duration(seconds)));
    vec![
        Line::from(vec![
            Span::styled(escaped(&row.path), bold),
            Span::raw(format!("   {}   epoch {}/{epochs}{time}{left}", row.status, row.epochs)),
        ]),
        Line::from(escaped(&format!(
            "{}{}{}lr {}",
            setting("data.dataset"),
            setting("model.hidden"),
            setting("optim.optimizer"),
            setting("optim.lr")
        ))),
        Line::from(numbers),
    ]
}

/// Seconds of training that are left of a run, as the epochs so far took them.
fn left(row: &Row) -> Option<f64> {
    let epochs: f64 = setting(row, "train.epochs")?.parse().ok()?;
    let (done, seconds) = (row.epochs as f64, row.seconds?);
    (row.status == "running" && done > 0.0).then(|| seconds / done * (epochs - done).max(0.0))
}

/// The value of a setting, in words.
fn setting(row: &Row, key: &str) -> Option<String> {
    let index = crate::config::settings::index(key)?;
    row.settings.get(index).map(ToString::to_string)
}

/// Loss and accuracy beside one another, or below where it is narrow.
fn draw_charts(frame: &mut Frame, view: &View, area: Rect) {
    if view.curve().is_empty() {
        frame.render_widget(Paragraph::new("no epoch has ended yet").centered(), area);
        return;
    }
    let figure = curves::of_run(&view.member, "", "", &view.options);
    let both = [Constraint::Ratio(1, 2); 2];
    let areas: [Rect; 2] = if area.width >= 80 || area.height < 16 {
        Layout::horizontal(both).areas(area)
    } else {
        Layout::vertical(both).areas(area)
    };
    for (chart, area) in figure.charts.iter().zip(areas) {
        draw_chart(frame, chart, area);
    }
}

/// A chart of the drawings, its lines as braille.
fn draw_chart(frame: &mut Frame, chart: &draw::Chart, area: Rect) {
    let Some(panel) = chart.panels.first() else { return };
    let lines: Vec<Vec<(f64, f64)>> = (0..chart.y.labels.len())
        .map(|line| {
            let cells = panel.cells.range((line, 0)..=(line, usize::MAX));
            cells.filter_map(|((_, x), estimate)| Some((chart.x.numbers[*x], chart.place(estimate.mean?)))).collect()
        })
        .collect();
    let datasets = lines.iter().zip(&chart.y.labels).enumerate().map(|(line, (points, label))| {
        let style = Style::new().fg(COLOURS[line % COLOURS.len()]);
        let style = if chart.overlay.dashed.contains(&line) { style.add_modifier(Modifier::DIM) } else { style };
        Dataset::default()
            .name(label.clone())
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(style)
            .data(points)
    });
    let (first, last) =
        (chart.x.numbers.first().copied().unwrap_or(0.0), chart.x.numbers.last().copied().unwrap_or(1.0));
    // One epoch is a point in the middle.
    let (first, last) = if last > first { (first, last) } else { (first - 1.0, last + 1.0) };
    let x = Axis::default()
        .title(chart.x.name.clone())
        .bounds([first, last])
        .labels([draw::label(first), draw::label(last)]);
    // Labels lie evenly there: the ends of the range, and its middle.
    let labels = [0.0, 0.5, 1.0].map(|share| draw::label(chart.number_at(share)));
    let y = Axis::default().bounds([0.0, 1.0]).labels(labels);
    let block = Block::bordered().title(chart.title());
    frame.render_widget(Chart::new(datasets.collect()).block(block).x_axis(x).y_axis(y), area);
}

/// The points of a sweep, the one that is chosen in reverse.
fn draw_points(frame: &mut Frame, view: &View, area: Rect) {
    let (told, _) = crate::listing::compare_settings(&view.rows);
    let columns = column::columns(&view.rows, &told, &[]);
    let rows: Vec<Vec<String>> =
        view.rows.iter().map(|row| columns.iter().map(|column| column.cell(row)).collect()).collect();
    let (shown, _) = column::fitting(&columns, &rows, &[], usize::from(area.width));
    let cells = |row: &Row| TableRow::new(shown.iter().map(|column| column.cell(row)).collect::<Vec<_>>());
    let width = |column: &Column| {
        let longest = view.rows.iter().map(|row| column.cell(row).chars().count()).max().unwrap_or(0);
        Constraint::Length(longest.max(column.heading().chars().count()) as u16)
    };
    let head =
        TableRow::new(shown.iter().map(|column| column.heading())).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(view.rows.iter().map(cells), shown.iter().map(width))
        .header(head)
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(Some(view.chosen));
    frame.render_stateful_widget(table, area, &mut state);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::fs;

    /// The screen of a run in `folder`, of this size.
    fn seen(folder: &std::path::Path, (width, height): (u16, u16)) -> String {
        let view = View::open(folder).unwrap();
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &view)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_run_is_seen_in_any_size_while_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        fs::create_dir_all(run.join("ckpt")).unwrap();
        let config = crate::config::Config::load(&crate::config::layers::Sources::default()).unwrap();
        fs::write(run.join("config.toml"), config.to_toml(|_| None)).unwrap();
        fs::write(run.join("metrics.jsonl"), "").unwrap();
        assert!(seen(&run, (80, 24)).contains("no epoch has ended yet"));
        let line = |epoch: u64| {
            let record = crate::train::Record {
                event: "epoch".into(),
                epoch,
                step: 10 * epoch,
                train_loss: Some(1.0 / epoch as f64),
                test_loss: Some(2.0 / epoch as f64),
                test_accuracy: Some(0.5 + 0.04 * epoch as f64),
                ..crate::train::Record::default()
            };
            serde_json::to_string(&record).unwrap() + "\n"
        };
        for epochs in 1..=8 {
            fs::write(run.join("metrics.jsonl"), (1..=epochs).map(line).collect::<String>()).unwrap();
            for size in [(200, 50), (80, 24), (40, 30), (20, 8), (1, 1)] {
                let screen = seen(&run, size);
                assert!(size.0 < 40 || screen.contains("loss"), "{screen}");
                assert!(size.0 < 80 || screen.contains(&format!("epoch {epochs}/10")), "{screen}");
            }
        }
        let screen = seen(&run, (100, 24));
        assert!(screen.contains("test 0.2500 82.00 %") && screen.contains("q leaves"), "{screen}");
        assert!(screen.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{screen}");
    }
}
