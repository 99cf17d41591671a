//! What holds of any bytes as an answer of the kernel.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use std::collections::BTreeMap;

use pm_core::accounting::BootId;
use pm_kernel::attribute::Attributes;
use pm_kernel::netlink::{Message, Replies};

use super::{
    FAMILY_INET, NEW_OBJECT, OF_TABLE, chains, counters, elements, generation, object, ports, question,
    quotas, rules, sets, table,
};
use crate::layout::TABLE;
use crate::property::is_written_over;
use crate::reading::{self, Counter, Quota};
use crate::standing::{Contents, OBJECT_COUNTER, OBJECT_QUOTA, QuotaShape, Standing, fingerprint};

/// `struct nlmsghdr` and `struct nlattr`: whatever is found in an answer has one of them in front.
const MESSAGE: usize = 16;
const ATTRIBUTE: usize = 4;
/// Ours are four deep at most: elements, element, key, value.
const DEEPEST: usize = 5;

/// Reads an answer as everything that is ever asked for: it ends, takes no more memory than the answer has, and what was
/// read is what would be read of the same things sent properly.
pub fn dump(bytes: &[u8]) {
    let replies = Replies::from_bytes(bytes);
    let (mut messages, mut size) = (0, 0);
    for reply in replies.iter() {
        (messages, size) = (messages + 1, size + MESSAGE + reply.body.len());
        assert!(is_within(reply.attributes(4), reply.body.len(), DEEPEST));
    }
    assert!(size <= bytes.len() && messages <= bytes.len() / MESSAGE, "messages overlap");

    let (counters, quotas) = (counters(&replies), quotas(&replies));
    let (chains, sets, table) = (chains(&replies), sets(&replies), table(&replies));
    let contents =
        Contents { rules: rules(&replies), elements: BTreeMap::from([(String::new(), elements(&replies))]) };
    let _ = generation(&replies);
    let listed = contents.rules.values().flatten().chain(contents.elements.values().flatten());
    assert!(listed.map(Vec::len).sum::<usize>() <= bytes.len(), "contents were made up");
    assert!(ports(&replies).is_none_or(|ports| ports.len() <= bytes.len() / ATTRIBUTE));

    if let Ok(counters) = &counters {
        assert!(counters.iter().map(|counter| counter.name.len()).sum::<usize>() <= bytes.len());
        assert_eq!(&super::counters(&sent(counters, of_counter)).unwrap_or_default(), counters);
    }
    if let Ok(quotas) = &quotas {
        assert!(quotas.iter().map(|quota| quota.name.len()).sum::<usize>() <= bytes.len());
        assert_eq!(&super::quotas(&sent(quotas, of_quota)).unwrap_or_default(), quotas);
    }
    let (counters, quotas) = (counters.unwrap_or_default(), quotas.unwrap_or_default());
    let boot = BootId { kernel: 1, init: 1 };
    let [before, after] = [&quotas; 2].map(|quotas| quotas.iter().cloned().collect());
    let readings = reading::readings(boot, 7, before, counters.iter().cloned().collect(), after);
    assert!(readings.counters.len() <= counters.len() && readings.quotas.len() <= quotas.len());
    let standing = Standing {
        table: table.ok(),
        chains: chains.unwrap_or_default(),
        sets: sets.unwrap_or_default(),
        counters: counters.into_iter().map(|counter| counter.name.into_owned()).collect(),
        exhausted: quotas
            .iter()
            .filter(|quota| quota.is_exhausted())
            .map(|quota| quota.name.to_string())
            .collect(),
        quotas: quotas
            .into_iter()
            .map(|quota| (quota.name.into_owned(), QuotaShape { over: quota.over, beyond: quota.beyond }))
            .collect(),
        ..Standing::default()
    };
    let _ = fingerprint(&standing, &contents);
    is_written_over(&standing);
}

/// Whether the attributes and those in them lie side by side in so many bytes.
fn is_within(attributes: Attributes<'_>, length: usize, deepest: usize) -> bool {
    let mut size = 0;
    for attribute in attributes {
        size += ATTRIBUTE + attribute.payload.len();
        if deepest > 0 && !is_within(attribute.nested(), attribute.payload.len(), deepest - 1) {
            return false;
        }
        let _ = (attribute.be64(), attribute.be32(), attribute.u32(), attribute.text());
    }
    size <= length
}

fn sent<T>(things: &[T], message: impl Fn(&T) -> Message) -> Replies {
    Replies::from_bytes(things.iter().flat_map(|thing| message(thing).as_reply()).collect::<Vec<u8>>())
}

fn of_counter(counter: &Counter<'_>) -> Message {
    question(NEW_OBJECT, FAMILY_INET)
        .text(OF_TABLE, TABLE)
        .text(object::NAME, &counter.name)
        .attribute(object::TYPE, &OBJECT_COUNTER.to_be_bytes())
        .attribute(object::HANDLE, &counter.handle.to_be_bytes())
        .nested(object::DATA, |data| data.attribute(object::COUNTER_BYTES, &counter.bytes.to_be_bytes()))
}

fn of_quota(quota: &Quota<'_>) -> Message {
    let flags = if quota.beyond { object::QUOTA_FLAG_OVER } else { 0 };
    question(NEW_OBJECT, FAMILY_INET)
        .text(OF_TABLE, TABLE)
        .text(object::NAME, &quota.name)
        .attribute(object::TYPE, &OBJECT_QUOTA.to_be_bytes())
        .nested(object::DATA, |data| {
            data.attribute(object::QUOTA_BYTES, &quota.over.to_be_bytes())
                .attribute(object::QUOTA_FLAGS, &flags.to_be_bytes())
                .attribute(object::QUOTA_CONSUMED, &quota.used.to_be_bytes())
        })
}
