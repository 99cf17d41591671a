//! The questions to `nf_tables` in netlink's form, and what its answers mean.

#[cfg(feature = "fuzzing")]
pub(crate) mod property;

use std::collections::{BTreeMap, BTreeSet};

use pm_kernel::attribute::{Attribute, Attributes};
use pm_kernel::netlink::{Message, Replies, Reply};

use crate::error::NetfilterError;
use crate::layout::TABLE;
use crate::numbers::{
    DELETE_TABLE, FAMILY_INET, FAMILY_NONE, GET_CHAIN, GET_ELEMENTS, GET_GENERATION, GET_OBJECT, GET_RULE,
    GET_SET, GET_TABLE, HEADER, NEW_CHAIN, NEW_ELEMENTS, NEW_GENERATION, NEW_OBJECT, NEW_RULE, NEW_SET,
    NEW_TABLE, OF_TABLE, chain, elements, generation, object, rule, set, table,
};
use crate::reading::{Counter, Quota};
use crate::standing::{ACCEPT, ChainShape, HookShape, SetShape, Table};

/// The kinds of objects that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Quota,
}

impl Kind {
    /// The kernel's number for it.
    const fn number(self) -> u32 {
        match self {
            Self::Counter => crate::standing::OBJECT_COUNTER,
            Self::Quota => crate::standing::OBJECT_QUOTA,
        }
    }
}

fn question(kind: u16, family: u8) -> Message {
    Message::new(kind, &[family, 0, 0, 0])
}

fn in_table(kind: u16) -> Message {
    question(kind, FAMILY_INET).text(OF_TABLE, TABLE)
}

/// Which generation of the ruleset stands: every change by anybody in this network namespace makes a new one.
pub(crate) fn ask_generation() -> Message {
    question(GET_GENERATION, FAMILY_NONE)
}

pub(crate) fn ask_table() -> Message {
    in_table(GET_TABLE)
}

pub(crate) fn ask_objects(kind: Kind) -> Message {
    in_table(GET_OBJECT).attribute(object::TYPE, &kind.number().to_be_bytes())
}

pub(crate) fn ask_quota(name: &str) -> Message {
    ask_objects(Kind::Quota).text(object::NAME, name)
}

pub(crate) fn ask_chains() -> Message {
    question(GET_CHAIN, FAMILY_INET)
}

pub(crate) fn ask_rules() -> Message {
    in_table(GET_RULE)
}

pub(crate) fn ask_sets() -> Message {
    in_table(GET_SET)
}

pub(crate) fn ask_elements(set: &str) -> Message {
    in_table(GET_ELEMENTS).text(elements::SET, set)
}

/// Whether these announcements say that our table was deleted.
pub(crate) fn tells_of_loss(announcements: &Replies) -> bool {
    ours(announcements, DELETE_TABLE).next().is_some()
}

/// The number of the generation.
pub(crate) fn generation(replies: &Replies) -> Result<u32, NetfilterError> {
    let reply = replies.iter().find(|reply| reply.kind == NEW_GENERATION);
    let number = reply.and_then(|reply| reply.attributes(HEADER).find(generation::ID)?.be32());
    number.ok_or(NetfilterError::Incomplete("the generation"))
}

/// The table's handle and flags.
pub(crate) fn table(replies: &Replies) -> Result<Table, NetfilterError> {
    let table = ours(replies, NEW_TABLE).next();
    let shape = table.and_then(|attributes| {
        let flags = attributes.find(table::FLAGS).and_then(Attribute::be32).unwrap_or_default();
        Some(Table { handle: attributes.find(table::HANDLE)?.be64()?, flags })
    });
    shape.ok_or(NetfilterError::Incomplete("the table's handle"))
}

/// The counter that a message of a list is about; none for what is not in our table.
pub(crate) fn counter(reply: Reply<'_>) -> Result<Option<Counter<'_>>, NetfilterError> {
    let missing = NetfilterError::Incomplete("a counter's figure");
    our(reply, NEW_OBJECT).map(|attributes| counter_of(attributes).ok_or(missing)).transpose()
}

fn counter_of(attributes: Attributes<'_>) -> Option<Counter<'_>> {
    let [name, handle, data] = attributes.find_all([object::NAME, object::HANDLE, object::DATA]);
    let bytes = data?.nested().find(object::COUNTER_BYTES)?.be64()?;
    Some(Counter { name: name?.text()?.into(), handle: handle?.be64()?, bytes })
}

/// The quota that a message of a list is about; none for what is not in our table.
pub(crate) fn quota(reply: Reply<'_>) -> Result<Option<Quota<'_>>, NetfilterError> {
    let missing = NetfilterError::Incomplete("a quota's figure");
    our(reply, NEW_OBJECT).map(|attributes| quota_of(attributes).ok_or(missing)).transpose()
}

fn quota_of(attributes: Attributes<'_>) -> Option<Quota<'_>> {
    let [name, data] = attributes.find_all([object::NAME, object::DATA]);
    let figures = [object::QUOTA_BYTES, object::QUOTA_FLAGS, object::QUOTA_CONSUMED];
    let [over, flags, used] = data?.nested().find_all(figures);
    let flags = flags.and_then(Attribute::be32).unwrap_or_default();
    Some(Quota {
        name: name?.text()?.into(),
        over: over?.be64()?,
        beyond: flags & object::QUOTA_FLAG_OVER != 0,
        used: used?.be64()?,
    })
}

/// The counters of a whole list.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn counters(replies: &Replies) -> Result<Vec<Counter<'_>>, NetfilterError> {
    replies.iter().filter_map(|reply| counter(reply).transpose()).collect()
}

/// The quotas of a whole list.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn quotas(replies: &Replies) -> Result<Vec<Quota<'_>>, NetfilterError> {
    replies.iter().filter_map(|reply| quota(reply).transpose()).collect()
}

/// A counter of ours as the kernel lists it.
#[cfg(feature = "bench")]
pub(crate) fn listed_counter(name: &str, bytes: u64) -> Message {
    listed(name, Kind::Counter, |data| data.attribute(object::COUNTER_BYTES, &bytes.to_be_bytes()))
}

/// A quota of ours as the kernel lists it.
#[cfg(feature = "bench")]
pub(crate) fn listed_quota(name: &str, over: u64) -> Message {
    listed(name, Kind::Quota, |data| {
        data.attribute(object::QUOTA_BYTES, &over.to_be_bytes())
            .attribute(object::QUOTA_FLAGS, &object::QUOTA_FLAG_OVER.to_be_bytes())
            .attribute(object::QUOTA_CONSUMED, &0_u64.to_be_bytes())
    })
}

#[cfg(feature = "bench")]
fn listed(name: &str, kind: Kind, data: impl FnOnce(Message) -> Message) -> Message {
    in_table(NEW_OBJECT)
        .text(object::NAME, name)
        .attribute(object::TYPE, &kind.number().to_be_bytes())
        .nested(object::DATA, data)
        .attribute(object::HANDLE, &1_u64.to_be_bytes())
}

/// The chains of our table.
pub(crate) fn chains(replies: &Replies) -> Result<BTreeMap<String, ChainShape>, NetfilterError> {
    let number = |attributes: &Attributes<'_>, kind| attributes.find(kind).and_then(Attribute::be32);
    let chain = |attributes: Attributes<'_>| {
        let hook = attributes.find(chain::HOOK).map(Attribute::nested).and_then(|hook| {
            Some(HookShape {
                number: number(&hook, chain::HOOK_NUMBER)?,
                priority: number(&hook, chain::HOOK_PRIORITY)?.cast_signed(),
                kind: attributes.find(chain::TYPE)?.text()?.to_owned(),
                policy: number(&attributes, chain::POLICY).unwrap_or(ACCEPT),
            })
        });
        // Whether it is one of those with a hook is said by the hook; the rest is dormancy and hardware offload.
        let flags = number(&attributes, chain::FLAGS).unwrap_or_default() & !chain::FLAG_BASE;
        Some((attributes.find(chain::NAME)?.text()?.to_owned(), ChainShape { hook, flags }))
    };
    ours(replies, NEW_CHAIN)
        .map(|attributes| chain(attributes).ok_or(NetfilterError::Incomplete("a chain's name")))
        .collect()
}

/// The expressions of our table's rules, by chain.
pub(crate) fn rules(replies: &Replies) -> BTreeMap<String, Vec<Vec<u8>>> {
    let expressions = |expressions: Attribute<'_>| expressions.payload.to_vec();
    by_chain(replies, |rule| rule.find(rule::EXPRESSIONS).map(expressions).unwrap_or_default())
}

/// The handles of our table's rules, by chain.
pub(crate) fn handles(replies: &Replies) -> BTreeMap<String, Vec<u64>> {
    by_chain(replies, |rule| rule.find(rule::HANDLE).and_then(Attribute::be64).unwrap_or_default())
}

/// A part of each of our table's rules, in their order, by chain.
fn by_chain<T>(replies: &Replies, part: impl Fn(&Attributes<'_>) -> T) -> BTreeMap<String, Vec<T>> {
    let mut parts: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for attributes in ours(replies, NEW_RULE) {
        let chain = attributes.find(rule::CHAIN).and_then(Attribute::text).unwrap_or_default();
        parts.entry(chain.to_owned()).or_default().push(part(&attributes));
    }
    parts
}

/// The sets and maps of our table, with those that are part of a rule.
pub(crate) fn sets(replies: &Replies) -> Result<BTreeMap<String, SetShape>, NetfilterError> {
    let set = |attributes: Attributes<'_>| {
        let number = |kind| attributes.find(kind).and_then(Attribute::be32).unwrap_or_default();
        let shape = SetShape {
            flags: number(set::FLAGS),
            key_type: number(set::KEY_TYPE),
            data_type: number(set::DATA_TYPE),
            object_type: number(set::OBJECT_TYPE),
            timeout: attributes.find(set::TIMEOUT).and_then(Attribute::be64).unwrap_or_default(),
        };
        Some((attributes.find(set::NAME)?.text()?.to_owned(), shape))
    };
    ours(replies, NEW_SET)
        .map(|attributes| set(attributes).ok_or(NetfilterError::Incomplete("a set's name")))
        .collect()
}

/// The elements of a set: what they match and what they stand for, without what they may have counted.
pub(crate) fn elements(replies: &Replies) -> BTreeSet<Vec<u8>> {
    let lists = ours(replies, NEW_ELEMENTS).filter_map(|attributes| attributes.find(elements::LIST));
    let elements = lists.flat_map(Attribute::nested);
    elements
        .map(|element| {
            let lasting = |attribute: &Attribute<'_>| elements::LASTING.contains(&attribute.kind);
            element.nested().filter(lasting).fold(Vec::new(), |mut bytes, attribute| {
                bytes.extend(attribute.kind.to_be_bytes());
                bytes.extend(attribute.payload);
                bytes
            })
        })
        .collect()
}

/// The elements of a hash of ports: each port and what it stands for, as nft writes it. None when there is an element
/// that is something else.
pub(crate) fn ports(replies: &Replies) -> Option<BTreeMap<u16, String>> {
    let port = |element: Attributes<'_>| {
        let value = |kind| Some(element.find(kind)?.nested().find(elements::DATA_VALUE)?.payload);
        let key = u16::from_be_bytes(value(elements::KEY)?.try_into().ok()?);
        if element.find(elements::FLAGS).and_then(Attribute::be32).unwrap_or_default() != 0 {
            return None;
        }
        let text = match (element.find(elements::OBJECT), value(elements::DATA)) {
            (Some(object), _) => object.text()?.to_owned(),
            (None, Some(class)) => {
                let class = u32::from_ne_bytes(class.try_into().ok()?);
                format!("{:x}:{:x}", class >> 16, class & 0xffff)
            }
            (None, None) => String::new(),
        };
        Some((key, text))
    };
    let lists = ours(replies, NEW_ELEMENTS).filter_map(|attributes| attributes.find(elements::LIST));
    lists.flat_map(Attribute::nested).map(|element| port(element.nested())).collect()
}

/// The attributes of the messages of this type that belong to our table.
fn ours(replies: &Replies, kind: u16) -> impl Iterator<Item = Attributes<'_>> {
    replies.iter().filter_map(move |reply| our(reply, kind))
}

/// The attributes of a message, if it is of this type and belongs to our table.
fn our(reply: Reply<'_>, kind: u16) -> Option<Attributes<'_>> {
    let is_inet = || reply.body.first() == Some(&FAMILY_INET);
    let attributes = (reply.kind == kind && is_inet()).then(|| reply.attributes(HEADER))?;
    attributes.find(OF_TABLE).is_some_and(|table| table.is_text(TABLE)).then_some(attributes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::standing::OBJECT_COUNTER;

    fn replies(messages: &[Message]) -> Replies {
        Replies::from_bytes(messages.iter().flat_map(Message::as_reply).collect::<Vec<u8>>())
    }

    fn counter(table: &str, name: &str, handle: u64, bytes: u64) -> Message {
        question(NEW_OBJECT, FAMILY_INET)
            .text(OF_TABLE, table)
            .text(object::NAME, name)
            .attribute(object::TYPE, &OBJECT_COUNTER.to_be_bytes())
            .attribute(object::HANDLE, &handle.to_be_bytes())
            .nested(object::DATA, |data| data.attribute(object::COUNTER_BYTES, &bytes.to_be_bytes()))
    }

    #[test]
    fn only_the_end_of_our_own_table_is_a_loss() {
        let lost = |kind, family, table: &str| {
            tells_of_loss(&Replies::from_bytes(question(kind, family).text(OF_TABLE, table).as_reply()))
        };
        assert!(lost(DELETE_TABLE, FAMILY_INET, TABLE));
        assert!(!lost(NEW_TABLE, FAMILY_INET, TABLE));
        assert!(!lost(DELETE_TABLE, 2, TABLE), "a table of that name in another family is not ours");
        assert!(!lost(DELETE_TABLE, FAMILY_INET, "filter"));
    }

    #[test]
    fn counters_of_other_tables_and_families_are_left_out() {
        let foreign_family = question(NEW_OBJECT, 2).text(OF_TABLE, TABLE).text(object::NAME, "cnt_in_1");
        let listed = replies(&[
            counter(TABLE, "cnt_in_443", 7, 1 << 40),
            counter("port_monitor2", "cnt_in_443", 8, 1),
            foreign_family,
            question(NEW_TABLE, FAMILY_INET).text(OF_TABLE, TABLE),
        ]);
        let expected = Counter { name: "cnt_in_443".into(), handle: 7, bytes: 1 << 40 };
        assert_eq!(counters(&listed).unwrap(), [expected]);
    }

    #[test]
    fn a_counter_without_its_figure_is_an_error_and_never_left_out() {
        let broken = question(NEW_OBJECT, FAMILY_INET).text(OF_TABLE, TABLE).text(object::NAME, "cnt_in_443");
        assert!(counters(&replies(&[counter(TABLE, "cnt_in_1", 7, 9), broken.clone()])).is_err());
        assert!(quotas(&replies(&[broken])).is_err());
    }

    #[test]
    fn an_exhausted_quota_is_still_one_that_matches_beyond_its_limit() {
        let quota = |flags: u32| {
            in_table(NEW_OBJECT).text(object::NAME, "quota_443").nested(object::DATA, |data| {
                data.attribute(object::QUOTA_BYTES, &9_u64.to_be_bytes())
                    .attribute(object::QUOTA_FLAGS, &flags.to_be_bytes())
                    .attribute(object::QUOTA_CONSUMED, &9_u64.to_be_bytes())
            })
        };
        let listed = replies(&[quota(3), quota(0)]);
        let read = quotas(&listed).unwrap();
        assert_eq!(read.iter().map(|quota| quota.beyond).collect::<Vec<_>>(), [true, false]);
        assert!(read.iter().all(Quota::is_exhausted));
    }

    #[test]
    fn elements_that_are_no_plain_ports_are_told_apart() {
        let element = |key: &'static [u8], flags: u32| {
            in_table(NEW_ELEMENTS).nested(elements::LIST, move |list| {
                list.nested(1, |element| {
                    element
                        .nested(elements::KEY, |value| value.attribute(elements::DATA_VALUE, key))
                        .attribute(elements::FLAGS, &flags.to_be_bytes())
                        .text(elements::OBJECT, "cnt_in_443")
                })
            })
        };
        let plain = replies(&[element(&[1, 187], 0)]);
        assert_eq!(ports(&plain), Some([(443, "cnt_in_443".to_owned())].into()));
        assert_eq!(ports(&replies(&[element(&[1, 187], 0), element(&[1, 188], 1)])), None);
        assert_eq!(ports(&replies(&[element(&[1, 2, 3, 4], 0)])), None);
        assert_eq!(elements(&plain).len(), 1);
    }

    fn read_all(replies: &Replies) {
        let _ = (generation(replies), table(replies), counters(replies), quotas(replies));
        let _ = (
            chains(replies),
            rules(replies),
            handles(replies),
            sets(replies),
            elements(replies),
            ports(replies),
        );
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_all(&Replies::from_bytes(bytes));
        }

        #[test]
        fn any_message_with_a_wrong_byte_can_be_read(
            kind in 0_u16..25,
            position in 0_usize..200,
            byte in any::<u8>(),
        ) {
            let mut bytes = counter(TABLE, "cnt_in_443", 7, 9).as_reply();
            bytes[4] = kind.to_ne_bytes()[0];
            let length = bytes.len();
            bytes[position % length] = byte;
            read_all(&Replies::from_bytes(bytes));
        }
    }
}
