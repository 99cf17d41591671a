//! Why a change was refused, in the operator's language.

use pm_core::config::EntryError;
use pm_core::edit::EditError;

use crate::text::{MenuTexts, fill};

/// The sentence for it.
pub(super) fn explained(error: &EditError, texts: &MenuTexts) -> String {
    match error {
        EditError::Exists(_) => texts.port_exists.to_owned(),
        EditError::Overlaps { other, .. } => {
            fill(texts.port_overlaps, &[&other.to_string(), &other.to_string()])
        }
        EditError::Entry(EntryError::Unknown(port) | EntryError::Within { port, .. }) => {
            fill(texts.gone, &[&port.to_string()])
        }
        EditError::NoQuota(_) | EditError::Quota(_) => texts.wrong_quota.to_owned(),
        EditError::GroupDiffers { port, group, present, .. } => {
            fill(texts.group_differs, &[&port.to_string(), group, present])
        }
        EditError::ReservedClass(_) => texts.reserved_class.to_owned(),
        EditError::Comment(_) => texts.long_remark.to_owned(),
        // The questions about these figures explain what is allowed before an edit is tried.
        EditError::Penalty { .. } | EditError::Telegram(_) => error.to_string(),
    }
}
