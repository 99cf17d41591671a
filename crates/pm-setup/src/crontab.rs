//! Root's crontab as text: our lines in it, found whole, and every other byte left as it is.

/// The program that our lines call.
const PROGRAM: &str = "/usr/local/bin/pm";

/// The line of the minute.
pub const MINUTE: &str = "* * * * * /usr/local/bin/pm --monitor >/dev/null 2>&1";

/// The line that brings the rules back after a boot, where nothing else does.
pub const BOOT: &str = "@reboot /usr/local/bin/pm --monitor >/dev/null 2>&1";

/// When a line of ours runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Minute,
    Boot,
    /// At other times than we want.
    Otherwise,
}

/// The text with our line in it, and with the one for the boot if that is wanted. Lines of ours that do as we want
/// stay as they are, whatever they do with their output.
pub fn with(text: &[u8], boot: bool) -> Vec<u8> {
    let (mut has_minute, mut has_boot) = (false, !boot);
    let mut kept = Vec::with_capacity(text.len() + MINUTE.len() + BOOT.len() + 4);
    for line in lines(text) {
        match when(line) {
            None => kept.extend_from_slice(line),
            Some(When::Minute) if !has_minute => {
                has_minute = true;
                kept.extend_from_slice(line);
            }
            Some(When::Boot) if !has_boot => {
                has_boot = true;
                kept.extend_from_slice(line);
            }
            // One too many, or at the wrong time.
            Some(_) => {}
        }
    }
    let wanted = [(has_minute, MINUTE), (has_boot, BOOT)];
    let mut new = Vec::new();
    for (_, line) in wanted.iter().filter(|(there, _)| !there) {
        new.extend_from_slice(line.as_bytes());
        // Whatever others do: to the shell, a carriage return is part of the last word.
        new.push(b'\n');
    }
    // A last line without an end stays the last, and stays without.
    let at = kept.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    kept.splice(at..at, new);
    kept
}

/// The text without our lines.
pub fn without(text: &[u8]) -> Vec<u8> {
    lines(text).filter(|line| when(line).is_none()).flatten().copied().collect()
}

/// Whether a line of ours runs every minute.
pub fn has_minute(text: &[u8]) -> bool {
    lines(text).any(|line| when(line) == Some(When::Minute))
}

/// Each line with its end.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
}

/// When the line runs, if it is one of ours: nothing but times, our program, its `--monitor`, and where output goes.
fn when(line: &[u8]) -> Option<When> {
    let line = str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace().peekable();
    let when = match *words.peek()? {
        "@reboot" => {
            words.next();
            When::Boot
        }
        word if word.starts_with('@') => {
            words.next();
            When::Otherwise
        }
        _ => {
            let times: Vec<&str> = words.by_ref().take(5).collect();
            if times.len() < 5 || !times.iter().all(|time| is_time(time)) {
                return None;
            }
            let every = times.iter().all(|&time| time == "*" || time == "*/1");
            if every { When::Minute } else { When::Otherwise }
        }
    };
    let ours = words.next() == Some(PROGRAM) && words.next() == Some("--monitor");
    let spoilt = line.trim_end_matches('\n').ends_with('\r');
    (ours && only_redirects(words)).then_some(if spoilt { When::Otherwise } else { when })
}

/// Whether cron reads it as minutes, hours, days, months or weekdays: `*/5`, `1-5,7`, `mon`.
fn is_time(word: &str) -> bool {
    let is_end = |end: &str| {
        end == "*" || ((1..=3).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let is_range = |range: &str| range == "~" || range.split(['-', '~']).all(is_end);
    word.split(',').all(|part| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        is_range(range) && (1..=2).contains(&step.len()) && step.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether these words of a shell only say where output goes.
fn only_redirects<'a>(mut words: impl Iterator<Item = &'a str>) -> bool {
    while let Some(word) = words.next() {
        if is_duplicate(word) {
            continue;
        }
        let operator = word.strip_prefix(['1', '2', '&']).unwrap_or(word);
        let target = operator.trim_start_matches('>');
        let arrows = operator.len() - target.len();
        let named = if target.is_empty() { words.next() } else { Some(target) };
        if !(1..=2).contains(&arrows) || !named.is_some_and(is_file) {
            return false;
        }
    }
    true
}

/// Whether output goes where another descriptor's goes: `2>&1`. A shell takes no blank in it, and no second arrow: it would
/// refuse the whole line.
fn is_duplicate(word: &str) -> bool {
    let arrow = word.strip_prefix(['1', '2']).unwrap_or(word);
    matches!(arrow, ">&1" | ">&2")
}

/// Whether output can go there: a file whose name means nothing else to a shell or to cron.
fn is_file(name: &str) -> bool {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+:@=,".contains(character);
    !name.is_empty() && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: &str = "# pm --monitor was here\nMAILTO=admin\n*/5 * * * * /usr/local/bin/pm-backup --monitor\n* * * * * /usr/local/bin/pm --monitor && /opt/after\n* * * * * echo /usr/local/bin/pm --monitor\n#* * * * * /usr/local/bin/pm --monitor\n* * * * * /opt/pm --monitor\n\n";

    #[test]
    fn our_line_comes_behind_others_and_goes_again_byte_by_byte() {
        for (others, boot) in [("", false), (OTHERS, false), (OTHERS, true), ("0 1 * * * /a\r\n", true)] {
            let text = with(others.as_bytes(), boot);
            assert!(text.starts_with(others.as_bytes()));
            assert!(has_minute(&text) && !has_minute(others.as_bytes()));
            assert_eq!(with(&text, boot), text, "a second time changes nothing");
            assert_eq!(without(&text), others.as_bytes());
        }
        assert_eq!(with(b"", true), format!("{MINUTE}\n{BOOT}\n").into_bytes());
        assert_eq!(with(b"0 1 * * * /a\r\n", false), format!("0 1 * * * /a\r\n{MINUTE}\n").into_bytes());
    }

    #[test]
    fn a_last_line_without_an_end_and_bytes_that_are_no_text_stay_as_they_are() {
        for others in [&b"0 1 * * * /a"[..], b"# caf\xe9\n0 1 * * * /a", b"\n\n  \t\n", b"\xff\xfe\n"] {
            let text = with(others, true);
            assert!(has_minute(&text), "{}", String::from_utf8_lossy(&text));
            assert_eq!(without(&text), others);
        }
    }

    #[test]
    fn the_lines_of_the_script_are_known_and_a_good_one_is_kept_as_it_is() {
        for line in [
            "* * * * * /usr/local/bin/pm --monitor\n",
            "* * * * * /usr/local/bin/pm --monitor >/dev/null 2>&1\n",
            "*/1 * * * * /usr/local/bin/pm --monitor >> /var/log/port_monitor.log 2>&1\n",
            "*/1 * * * * /usr/local/bin/pm --monitor >> /var/log/pm.log 1>&1\n",
            "* * * * * /usr/local/bin/pm --monitor >&2 2> /var/log/pm.log\n",
            "  *  *  *  *  *\t/usr/local/bin/pm  --monitor &>/dev/null\n",
        ] {
            assert_eq!(with(line.as_bytes(), false), line.as_bytes(), "{line:?}");
            assert_eq!(without(line.as_bytes()), b"", "{line:?}");
            let twice = format!("{line}0 1 * * * /a\n{line}");
            assert_eq!(with(twice.as_bytes(), false), format!("{line}0 1 * * * /a\n").into_bytes());
        }
        for useless in [
            "*/5 * * * * /usr/local/bin/pm --monitor\n",
            "0-59/2,7 3 * jan mon-fri /usr/local/bin/pm --monitor\n",
            "0~59 ~ * * * /usr/local/bin/pm --monitor\n",
            "* * * * * /usr/local/bin/pm --monitor\r\n",
        ] {
            assert_eq!(with(useless.as_bytes(), false), format!("{MINUTE}\n").into_bytes());
        }
        assert_eq!(with(BOOT.as_bytes(), false), [MINUTE.as_bytes(), b"\n"].concat(), "systemd boots");
    }

    #[test]
    fn a_line_that_does_more_is_somebody_elses() {
        for line in [
            "* * * * * /usr/local/bin/pm --monitor; reboot",
            "* * * * * /usr/local/bin/pm --monitor | logger",
            "* * * * * /usr/local/bin/pm --monitor >$(date)",
            "* * * * * /usr/local/bin/pm --monitor >",
            "* * * * * /usr/local/bin/pm --monitor >/dev/null&reboot",
            "* * * * * /usr/local/bin/pm --monitor > /dev/null&reboot",
            "* * * * * /usr/local/bin/pm --monitor &&>/dev/null",
            "* * * * * /usr/local/bin/pm --monitor 12>/dev/null",
            "* * * * * /usr/local/bin/pm --monitor > &1",
            "* * * * * /usr/local/bin/pm --monitor >>&1",
            "* * * * * /usr/local/bin/pm --monitor &>&1",
            "* * * * * /usr/local/bin/pm --monitor >/var/log/%Y",
            "* * * * * /usr/local/bin/pm --monitor >'/dev/null'",
            "* * * * * /usr/local/bin/pm list",
            "* * * * * root /usr/local/bin/pm --monitor",
            "PM=/usr/local/bin/pm --monitor",
            "# * * * * /usr/local/bin/pm --monitor",
            "/usr/local/bin/pm*,,*/5 * * * * /usr/local/bin/pm --monitor",
            "*/ * * * * /usr/local/bin/pm --monitor",
        ] {
            assert_eq!(when(line.as_bytes()), None, "{line}");
        }
    }
}
