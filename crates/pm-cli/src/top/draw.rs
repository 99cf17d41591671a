//! The pictures of `pm top`: the table of all ports, and the page of one.

use pm_core::units::{Percent, Rate, escaped};
use pm_core::view::PortView;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use unicode_width::UnicodeWidthStr;

use super::rates::{Rates, Shown, Speedometer, in_short};
use super::state::{Key, Place, TopState};
use crate::page::{self, LiveRate};
use crate::panel::{cell, fitted};
use crate::text::{Texts, fill};

/// A graph whose fastest bar is below this looks as slow as it is.
const QUIETEST_SCALE: u64 = 100_000;
/// Shares from which a bar warns, in percent.
const HIGH: u8 = 80;
const FULL: u8 = 100;

/// The styles, with or without colours.
pub(crate) struct Palette {
    head: Style,
    columns: Style,
    chosen: Style,
    quiet: Style,
    graph: Style,
    good: Style,
    high: Style,
    full: Style,
}

impl Palette {
    pub(crate) fn new(colours: bool) -> Self {
        let plain = Style::new();
        let coloured = |colour| if colours { plain.fg(colour) } else { plain };
        Self {
            head: plain.add_modifier(Modifier::BOLD),
            columns: plain.add_modifier(Modifier::REVERSED),
            chosen: plain.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            quiet: plain.add_modifier(Modifier::DIM),
            graph: coloured(Color::Cyan),
            good: coloured(Color::Green),
            high: coloured(Color::Yellow),
            full: coloured(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    fn share(&self, view: &PortView) -> Style {
        match view.percent {
            _ if view.blocked => self.full,
            Some(percent) if percent.reaches(FULL) => self.full,
            Some(percent) if percent.reaches(HIGH) => self.high,
            _ => self.good,
        }
    }
}

/// Draws what is to be seen now.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &TopState, texts: &Texts, palette: &Palette) {
    let area = frame.area();
    let [head, body, notice, foot] = lines(area, state.has_notice());
    frame.render_widget(headline(state, usize::from(area.width), texts, palette), head);
    match state.place() {
        Place::Page(port) => draw_page(frame, body, state, port, texts, palette),
        Place::Table | Place::Filter => draw_table(frame, body, state, texts, palette),
    }
    if state.has_notice() {
        let text = format!(" {}", state.notice(texts));
        let text = fitted(&text, usize::from(area.width));
        frame.render_widget(Span::styled(text, palette.full), notice);
    }
    frame.render_widget(footline(state, texts, palette), foot);
}

/// One line at the top, one or two at the bottom, the rest between.
fn lines(area: Rect, has_notice: bool) -> [Rect; 4] {
    let line = |y: u16, height: u16| Rect { y, height, ..area }.intersection(area);
    let below = 1 + u16::from(has_notice);
    let bottom = area.bottom().saturating_sub(1).max(area.y);
    let body = area.height.saturating_sub(1 + below);
    [line(area.y, 1), line(area.y + 1, body), line(area.y + 1 + body, u16::from(has_notice)), line(bottom, 1)]
}

fn headline(state: &TopState, width: usize, texts: &Texts, palette: &Palette) -> Line<'static> {
    let (passing, all) = state.counts();
    let ports = if passing == all {
        fill(texts.top.ports, &[&all.to_string()])
    } else {
        fill(texts.top.passing, &[&passing.to_string(), &all.to_string()])
    };
    let (key, falling) = state.sorted_by();
    let sorted = texts.top.sorted[match key {
        Key::Port => 0,
        Key::Rate => 1,
        Key::Used => 2,
        Key::Percent => 3,
    }];
    let Rates { inbound, outbound } = state.total();
    let left = format!(
        " pm top  {ports}  {} {}  {} {}  {sorted} {}",
        texts.inbound,
        speed(inbound),
        texts.outbound,
        speed(outbound),
        if falling { "↓" } else { "↑" },
    );
    let clock = format!("{} ", state.now().strftime("%H:%M:%S"));
    let gap = width.saturating_sub(left.width() + clock.width());
    Line::styled(format!("{left}{}{clock}", " ".repeat(gap)), palette.head)
}

fn footline(state: &TopState, texts: &Texts, palette: &Palette) -> Line<'static> {
    let safe = escaped(state.filter());
    let filter = format!(" {}{safe}", texts.top.filter);
    let keys = |text: &str| Span::styled(format!("  {text}"), palette.quiet);
    match state.place() {
        Place::Filter => Line::from(vec![
            Span::styled(filter, palette.head),
            Span::styled(" ", palette.columns),
            keys(texts.top.filter_keys),
        ]),
        Place::Table if safe.is_empty() => Line::styled(format!(" {}", texts.top.table_keys), palette.quiet),
        Place::Table => Line::from(vec![Span::styled(filter, palette.head), keys(texts.top.filter_keys)]),
        Place::Page(_) => Line::styled(format!(" {}", texts.top.page_keys), palette.quiet),
    }
}

/// The widths of the columns in cells, each with the blank behind it; 0 for one that does not fit.
struct Columns {
    port: usize,
    remark: usize,
    rate: usize,
    graph: usize,
    used: usize,
    quota: bool,
    bar: usize,
    percent: usize,
}

impl Columns {
    /// Of the 80 columns of the smallest terminal, and of the 120 of a usual one, none is left over.
    fn of(width: usize) -> Self {
        let mut columns =
            Self { port: 12, remark: 0, rate: 11, graph: 0, used: 10, quota: false, bar: 0, percent: 6 };
        // The mark of the chosen port, and what is always there.
        let mut left = width.saturating_sub(1 + 12 + 2 * 11 + 10 + 6);
        let mut take = |cells: usize, keeping: usize| {
            let fits = left >= cells + keeping;
            left -= if fits { cells } else { 0 };
            fits
        };
        if take(9, 10) {
            columns.graph = 9;
        }
        if take(7, 10) {
            columns.bar = 7;
        }
        if take(13, 20) {
            columns.quota = true;
            columns.used += 13;
        }
        let more = left.saturating_sub(13);
        let (graph, bar) = ((more * 4 / 9).min(12), (more * 2 / 9).min(8));
        if columns.quota {
            columns.graph += graph;
            columns.bar += bar;
            left -= graph + bar;
        }
        columns.remark = left;
        columns
    }
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, state: &TopState, texts: &Texts, palette: &Palette) {
    let width = usize::from(area.width);
    let columns = Columns::of(width);
    let used = if columns.quota { texts.usage } else { texts.used };
    let names = [
        (columns.port, left(texts.port, columns.port)),
        (columns.remark, left(texts.remark, columns.remark)),
        (columns.rate, right(texts.inbound, columns.rate)),
        (columns.rate, right(texts.outbound, columns.rate)),
        (columns.graph, left(texts.top.minutes, columns.graph)),
        (columns.used, right(used, columns.used)),
        (columns.bar + columns.percent, right(texts.top.share, columns.bar + columns.percent)),
    ];
    let names: String = names.into_iter().filter(|(width, _)| *width > 0).map(|(_, name)| name).collect();
    let names = format!(" {names}");
    let blank = " ".repeat(width.saturating_sub(names.width()));
    let mut lines = vec![Line::styled(format!("{names}{blank}"), palette.columns)];
    lines.extend(state.visible().map(|(view, rates, meter, chosen)| {
        let line = row(view, rates, meter, &columns, chosen, texts, palette);
        if chosen { line.patch_style(palette.chosen) } else { line }
    }));
    if lines.len() == 1 {
        let (_, all) = state.counts();
        let nothing = if all == 0 { texts.no_ports } else { texts.top.none_passes };
        lines.push(Line::from(format!(" {}", fitted(nothing, width.saturating_sub(1)))));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn row(
    view: &PortView,
    rates: Rates,
    meter: &Speedometer,
    columns: &Columns,
    chosen: bool,
    texts: &Texts,
    palette: &Palette,
) -> Line<'static> {
    let share = palette.share(view);
    let punished = if view.punished { texts.punished } else { "" };
    let remark = format!("{punished}{}", view.comment);
    let rate = |rate: Option<Rate>| {
        let quiet = rate.is_none_or(|rate| rate == Rate::default());
        let style = if quiet { palette.quiet } else { Style::new() };
        Span::styled(right(&speed(rate), columns.rate), style)
    };
    let used = if view.blocked { texts.blocked.to_owned() } else { view.used_bytes.to_string() };
    let used = match view.quota_bytes {
        _ if !columns.quota => used,
        Some(quota) => format!("{used} / {}", quota.exact()),
        None => format!("{used} / {}", texts.unlimited_quota),
    };
    let used_style = if view.blocked { palette.full } else { Style::new() };
    let remark_style = if view.punished { palette.high } else { Style::new() };
    let percent = view.percent.map_or_else(|| "-".to_owned(), |percent| percent.to_string());
    Line::from(vec![
        Span::raw(if chosen { ">" } else { " " }),
        Span::raw(left(&view.port.to_string(), columns.port)),
        Span::styled(left(&remark, columns.remark), remark_style),
        rate(rates.inbound),
        rate(rates.outbound),
        Span::styled(graph(meter, columns.graph.saturating_sub(1)), palette.graph),
        Span::raw(if columns.graph > 0 { " " } else { "" }),
        Span::styled(right(&used, columns.used), used_style),
        Span::styled(bar(view.percent, columns.bar.saturating_sub(1)), share),
        Span::raw(if columns.bar > 0 { " " } else { "" }),
        Span::styled(format!("{percent:>width$}", width = columns.percent), share),
    ])
}

fn speed(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "-".to_owned(), in_short)
}

/// A column's text from the left, with a blank behind it.
fn left(text: &str, width: usize) -> String {
    if width == 0 { String::new() } else { cell(&fitted(text, width - 1), width) }
}

/// A column's text up to the right, with a blank behind it.
fn right(text: &str, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    let text = fitted(text, width - 1);
    format!("{}{text} ", " ".repeat((width - 1).saturating_sub(text.width())))
}

const LEVELS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The last minutes in one line. Whatever is not nothing can be seen.
fn graph(meter: &Speedometer, bars: usize) -> String {
    let values = meter.graph(bars, Shown::Both);
    let highest = values.iter().copied().max().unwrap_or(0).max(QUIETEST_SCALE);
    let level = |value: u64| {
        let level = (u128::from(value) * 8).div_ceil(u128::from(highest));
        LEVELS[usize::try_from(level).unwrap_or(8).min(8)]
    };
    values.into_iter().map(level).collect()
}

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// How far a quota is used up. An empty bar has a track, so that it is seen to be one.
fn bar(percent: Option<Percent>, cells: usize) -> String {
    let Some(percent) = percent else { return " ".repeat(cells) };
    let tenths = usize::try_from(percent.tenths().min(Percent::FULL.tenths())).unwrap_or(0);
    let eighths = cells * 8 * tenths / 1000;
    let filled = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
    let track = cells.saturating_sub(eighths.div_ceil(8));
    filled + &"·".repeat(track)
}

/// Two graphs above or beside the lines of `pm show`.
fn draw_page(
    frame: &mut Frame<'_>,
    area: Rect,
    state: &TopState,
    port: pm_core::port::PortRange,
    texts: &Texts,
    palette: &Palette,
) {
    /// From this width on, the graphs stand beside the lines.
    const WIDE: u16 = 112;
    const LINES_WIDTH: u16 = 66;
    /// The graphs above the lines: a heading and two rows each.
    const LOW: u16 = 3;
    let Some((view, config, meter, forecast)) = state.page(port) else { return };
    let rates = meter.rates();
    let rate = match (rates.inbound, rates.outbound) {
        (Some(inbound), Some(outbound)) => LiveRate::Measured { inbound, outbound },
        _ => LiveRate::Measuring,
    };
    let text = page::draw(view, config, state.events(port), forecast, rate, state.now(), texts);
    let text = anstream::adapter::strip_str(&text).to_string();
    let (graphs, lines) = if area.width >= WIDE {
        let right = Rect { x: area.x + LINES_WIDTH, width: area.width - LINES_WIDTH, ..area };
        (right, Rect { width: LINES_WIDTH, ..area })
    } else {
        let height = (2 * LOW).min(area.height);
        let below = Rect { y: area.y + height, height: area.height - height, ..area };
        (Rect { height, ..area }, below)
    };
    let half = graphs.height / 2;
    let halves = [
        Rect { height: half, ..graphs },
        Rect { y: graphs.y + half, height: graphs.height - half, ..graphs },
    ];
    let directions =
        [(texts.inbound, rates.inbound, Shown::Inbound), (texts.outbound, rates.outbound, Shown::Outbound)];
    for (half, (name, rate, shown)) in halves.into_iter().zip(directions) {
        let peak = meter.peak(shown);
        let title = format!(" {name} {}  ({} {})", speed(rate), texts.top.peak, in_short(peak));
        frame.render_widget(Span::styled(title, palette.head), Rect { height: half.height.min(1), ..half });
        let width = half.width.saturating_sub(2);
        let picture = Rect { x: half.x + 1, y: half.y + 1, width, height: half.height.saturating_sub(1) };
        let values = meter.graph(usize::from(width), shown);
        let highest = values.iter().copied().max().unwrap_or(0).max(QUIETEST_SCALE);
        frame.render_widget(Sparkline::default().data(values).max(highest).style(palette.graph), picture);
    }
    let lines_text: Vec<Line<'_>> = text.lines().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines_text), lines);
}

#[cfg(test)]
mod tests {
    use pm_core::units::Bytes;

    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_share_and_never_longer_than_its_cells() {
        let of = |tenths| bar(Some(Percent::from_tenths(tenths)), 6);
        assert_eq!(of(0), "······");
        assert_eq!(of(500), "███···");
        assert_eq!(of(810), "████▊·");
        assert_eq!(of(1000), "██████");
        assert_eq!(of(123_456), "██████");
        assert_eq!(bar(None, 6), "      ");
        for tenths in 0..=1100 {
            assert_eq!(of(tenths).chars().count(), 6, "{tenths}");
        }
    }

    #[test]
    fn the_columns_take_the_whole_width_and_no_more() {
        for width in 51..=300 {
            let c = Columns::of(width);
            let all = 1 + c.port + c.remark + 2 * c.rate + c.graph + c.used + c.bar + c.percent;
            assert_eq!(all, width, "{width}");
        }
        let narrow = Columns::of(80);
        assert!(narrow.remark >= 10 && narrow.bar > 0 && narrow.graph > 0);
        assert!(Columns::of(120).quota);
    }

    #[test]
    fn sizes_in_bytes_fit_their_column() {
        assert!(Bytes((1 << 50) - 1).to_string().width() < Columns::of(80).used);
    }
}
