//! IDs of the panel as they are typed: `2`, or `1,3-5`.

use std::collections::BTreeSet;
use std::io::Write;

use pm_core::port::PortRange;

use crate::menu::Menu;
use crate::menu::input::Input;
use crate::menu::prompt::Leave;
use crate::text::fill;

impl<I: Input, W: Write> Menu<'_, I, W> {
    /// Asks which ports of the panel are meant.
    pub(super) fn select(&mut self, prompt: &str) -> Result<Vec<PortRange>, Leave> {
        let texts = self.texts();
        let listed = self.listed.clone();
        if listed.is_empty() {
            self.say(texts.no_ports)?;
            return Err(Leave::Back);
        }
        let chosen = self.ask(prompt, |answer| {
            if answer.is_empty() || answer == "0" {
                return Ok(None);
            }
            if let Some(ids) = ids(answer, listed.len()) {
                return Ok(Some(ids.into_iter().map(|id| listed[id - 1]).collect()));
            }
            let named = listed.iter().position(|port| port.to_string() == answer);
            Err(match named {
                Some(place) => fill(texts.menu.port_not_id, &[answer, &(place + 1).to_string()]),
                None => fill(texts.menu.wrong_id, &[&listed.len().to_string()]),
            })
        })?;
        chosen.ok_or(Leave::Back)
    }
}

/// The IDs in a text, in order, each once; none when one of them is not from 1 to `count`.
fn ids(text: &str, count: usize) -> Option<BTreeSet<usize>> {
    let id = |text: &str| {
        let text = text.trim();
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<usize>().ok().filter(|id| plain && (1..=count).contains(id))
    };
    let mut ids = BTreeSet::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (id(first)?, id(last)?);
        if first > last {
            return None;
        }
        ids.extend(first..=last);
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_and_ranges_of_the_list() {
        let chosen = |text| ids(text, 5).map(|ids| ids.into_iter().collect::<Vec<_>>());
        assert_eq!(chosen("2"), Some(vec![2]));
        assert_eq!(chosen("1,3-5"), Some(vec![1, 3, 4, 5]));
        assert_eq!(chosen(" 5 , 4 - 5 "), Some(vec![4, 5]));
        for wrong in ["", "0", "6", "1-6", "3-1", "1,", "a", "-1", "+1", "1-2-3", "99999999999999999999"] {
            assert_eq!(chosen(wrong), None, "{wrong:?}");
        }
    }
}
