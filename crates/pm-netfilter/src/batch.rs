//! Commands as the messages of one `nf_tables` transaction, the same that nft makes of their text.

use pm_core::port::PortRange;
use pm_kernel::netlink::Message;
use pm_kernel::transaction::Request;

use crate::layout::{Holds, Hook, Key, PRIORITY, Rule, TABLE, Way};
use crate::numbers::{
    DELETE_CHAIN, DELETE_ELEMENTS, DELETE_OBJECT, DELETE_RULE, DELETE_SET, DELETE_TABLE, FAMILY_INET,
    NEW_CHAIN, NEW_ELEMENTS, NEW_OBJECT, NEW_RULE, NEW_SET, NEW_TABLE, OF_TABLE, chain, elements, expression,
    object, rule, set, table,
};
use crate::script::{Command, Keys};
use crate::standing::{ACCEPT, ANONYMOUS, CONSTANT, OBJECT_COUNTER, OBJECT_QUOTA, SetShape, TYPE_PROTOCOL};

/// The messages of the commands, and for each of them its command's place.
pub(crate) fn requests(commands: &[&Command<'_>]) -> (Vec<Request>, Vec<usize>) {
    let (mut requests, mut places) = (Vec::new(), Vec::new());
    for (place, command) in commands.iter().enumerate() {
        // A command makes one set at most, so its place can be the number by which the transaction knows the set.
        let id = u32::try_from(place + 1).unwrap_or(u32::MAX);
        requests.extend(of(command, id));
        places.resize(requests.len(), place);
    }
    (requests, places)
}

fn of(command: &Command<'_>, id: u32) -> Vec<Request> {
    let request = match command {
        Command::AddTable => Request::create(message(NEW_TABLE).be32(table::FLAGS, 0)),
        Command::DeleteTable => Request::delete(message(DELETE_TABLE)),
        Command::FlushRules => Request::delete(message(DELETE_RULE)),
        Command::AddCounter(name) => {
            Request::create(object(NEW_OBJECT, name, OBJECT_COUNTER).nested(object::DATA, |data| {
                let zero = 0_u64.to_be_bytes();
                data.attribute(object::COUNTER_BYTES, &zero).attribute(object::COUNTER_PACKETS, &zero)
            }))
        }
        Command::DeleteCounter(name) => Request::delete(object(DELETE_OBJECT, name, OBJECT_COUNTER)),
        Command::AddQuota { name, over, used } => {
            Request::create(object(NEW_OBJECT, name, OBJECT_QUOTA).nested(object::DATA, |data| {
                data.attribute(object::QUOTA_BYTES, &over.to_be_bytes())
                    .attribute(object::QUOTA_CONSUMED, &used.to_be_bytes())
                    .be32(object::QUOTA_FLAGS, object::QUOTA_FLAG_OVER)
            }))
        }
        Command::DeleteQuota(name) => Request::delete(object(DELETE_OBJECT, name, OBJECT_QUOTA)),
        Command::AddSet { name, holds, is_tree, room } => {
            let set = set(name, *holds, *is_tree, id);
            Request::create(match room {
                Some(room) => set.nested(set::DESCRIPTION, |set| set.be32(set::DESCRIPTION_SIZE, *room)),
                None => set,
            })
        }
        Command::DeleteSet { name, .. } => Request::delete(message(DELETE_SET).text(set::NAME, name)),
        Command::FlushSet { name, .. } => Request::delete(message(DELETE_ELEMENTS).text(elements::SET, name)),
        Command::AddElements { set, holds, elements } => {
            Request::create(listed(message(NEW_ELEMENTS).text(elements::SET, set), elements, *holds))
        }
        Command::DeleteElements { set, elements, .. } => {
            // The key is enough to find it.
            let message = message(DELETE_ELEMENTS).text(elements::SET, set);
            Request::delete(listed(message, elements, Holds::Nothing))
        }
        Command::AddChain { name, hook } => Request::create(chain(name, *hook)),
        Command::DeleteChain(name) => Request::delete(message(DELETE_CHAIN).text(chain::NAME, name)),
        Command::AddRule { chain, rule, before } => return add_rule(chain, *rule, *before, id),
    };
    vec![request]
}

/// A message about something in our table.
fn message(kind: u16) -> Message {
    Message::new(kind, &[FAMILY_INET, 0, 0, 0]).text(OF_TABLE, TABLE)
}

/// What our messages are made of beside plain attributes.
trait Written: Sized {
    /// A number in network order.
    fn be32(self, kind: u16, number: u32) -> Self;
    /// A value of a register or an element.
    fn value(self, kind: u16, bytes: &[u8]) -> Self;
    /// An expression of a rule.
    fn expression(self, name: &str, fill: impl FnOnce(Self) -> Self) -> Self;
}

impl Written for Message {
    fn be32(self, kind: u16, number: u32) -> Self {
        self.attribute(kind, &number.to_be_bytes())
    }

    fn value(self, kind: u16, bytes: &[u8]) -> Self {
        self.nested(kind, |value| value.attribute(elements::DATA_VALUE, bytes))
    }

    fn expression(self, name: &str, fill: impl FnOnce(Self) -> Self) -> Self {
        self.nested(expression::LIST_ITEM, |item| {
            item.text(expression::NAME, name).nested(expression::DATA, fill)
        })
    }
}

fn object(kind: u16, name: &str, number: u32) -> Message {
    message(kind).text(object::NAME, name).be32(object::TYPE, number)
}

fn set(name: &str, holds: Holds, is_tree: bool, id: u32) -> Message {
    let shape = SetShape::with(holds, is_tree);
    let message = message(NEW_SET)
        .text(set::NAME, name)
        .be32(set::FLAGS, shape.flags)
        .be32(set::KEY_TYPE, shape.key_type)
        .be32(set::KEY_LENGTH, 2)
        .be32(set::ID, id);
    let mut notes = note(NOTE_KEY_ORDER, ORDER_BIG);
    let message = match holds {
        Holds::Nothing => message,
        Holds::Counters | Holds::Quotas => message.be32(set::OBJECT_TYPE, shape.object_type),
        Holds::Classes => {
            notes.extend(note(NOTE_DATA_ORDER, ORDER_HOST));
            message.be32(set::DATA_TYPE, shape.data_type).be32(set::DATA_LENGTH, 4)
        }
    };
    message.attribute(set::USER_DATA, &notes)
}

/// nft's own notes in a set or an element, by which it prints them as they were given: a type, a length, and a number in
/// the order of this machine.
fn note(kind: u8, number: u32) -> Vec<u8> {
    [kind, 4].into_iter().chain(number.to_ne_bytes()).collect()
}

/// `NFTNL_UDATA_SET_KEYBYTEORDER` and `.._DATABYTEORDER`, with nft's names of byte orders.
const NOTE_KEY_ORDER: u8 = 0;
const NOTE_DATA_ORDER: u8 = 1;
const ORDER_HOST: u32 = 1;
const ORDER_BIG: u32 = 2;
/// `NFTNL_UDATA_SET_ELEM_FLAGS`, and its `SET_ELEM_F_INTERVAL_OPEN`: an interval up to the largest key has no end.
const NOTE_FLAGS: u8 = 1;
const NOTE_OPEN: u32 = 1;

fn listed(message: Message, keys: &Keys<'_>, holds: Holds) -> Message {
    message.nested(elements::LIST, |list| match keys {
        Keys::Ports(ports) => ports.iter().fold(list, |list, (port, value)| {
            list.nested(expression::LIST_ITEM, |element| filled(element, *port, value, holds))
        }),
        Keys::Ranges(ranges) => {
            ranges.iter().fold(list, |list, (range, value)| interval(list, *range, value, holds))
        }
    })
}

fn filled(element: Message, port: u16, value: &str, holds: Holds) -> Message {
    let element = element.value(elements::KEY, &port.to_be_bytes());
    match holds {
        Holds::Nothing => element,
        Holds::Counters | Holds::Quotas => element.text(elements::OBJECT, value),
        Holds::Classes => element.value(elements::DATA, &class(value).to_ne_bytes()),
    }
}

/// A tree knows where an interval begins, and where the first port behind it is.
fn interval(intervals: Message, range: PortRange, value: &str, holds: Holds) -> Message {
    let (first, last) = (range.first().number(), range.last().number());
    let next = last.checked_add(1);
    let beginning = intervals.nested(expression::LIST_ITEM, |element| {
        let element = filled(element, first, value, holds);
        match next {
            Some(_) => element,
            None => element.attribute(elements::USER_DATA, &note(NOTE_FLAGS, NOTE_OPEN)),
        }
    });
    let Some(next) = next else { return beginning };
    beginning.nested(expression::LIST_ITEM, |element| {
        let element = element.be32(elements::FLAGS, elements::FLAG_END);
        element.value(elements::KEY, &next.to_be_bytes())
    })
}

/// The number of a class that is written as `1:2766`.
fn class(text: &str) -> u32 {
    let number = |text| u32::from_str_radix(text, 16).unwrap_or_default();
    text.split_once(':').map_or(0, |(major, minor)| number(major) << 16 | number(minor))
}

fn chain(name: &str, hook: Option<Hook>) -> Message {
    let message = message(NEW_CHAIN).text(chain::NAME, name);
    let Some(hook) = hook else { return message };
    message.text(chain::TYPE, "filter").be32(chain::POLICY, ACCEPT).nested(chain::HOOK, |place| {
        place.be32(chain::HOOK_NUMBER, hook.number()).be32(chain::HOOK_PRIORITY, PRIORITY.cast_unsigned())
    })
}

/// The registers that verdicts and everything else go through.
const REGISTER_VERDICT: u32 = 0;
const REGISTER: u32 = 1;
const META_PRIORITY: u32 = 2;
const META_PROTOCOL: u32 = 16;
const CT_DIRECTION: u32 = 1;
const CT_STATUS: u32 = 2;
const CT_PORT_DESTINATION: u32 = 12;
/// `IPS_DST_NAT`.
const STATUS_TRANSLATED: u32 = 0x20;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const BASE_TRANSPORT: u32 = 2;
const DROP: i32 = 0;
const JUMP: i32 = -3;
const RETURN: i32 = -5;

fn add_rule(chain: &str, rule: Rule, before: Option<u64>, id: u32) -> Vec<Request> {
    let message = |fill: &dyn Fn(Message) -> Message| {
        let message = message(NEW_RULE).text(rule::CHAIN, chain).nested(rule::EXPRESSIONS, fill);
        match before {
            None => Request::append(message),
            Some(handle) => Request::create(message.attribute(rule::POSITION, &handle.to_be_bytes())),
        }
    };
    match rule {
        // The protocol is asked for once, which nft would do for each comparison: of what a packet pays for its rules, a twelfth.
        Rule::LeaveWithoutPorts => vec![message(&|rule| {
            let rule = compare(protocol(rule), UNEQUAL, &[TCP]);
            verdict(compare(rule, UNEQUAL, &[UDP]), RETURN, None)
        })],
        Rule::Follow(way, chain) => vec![message(&|rule| {
            let way = match way {
                Way::Original => 0,
                Way::Reply => 1,
            };
            let rule = masked(connection(rule, CT_STATUS), STATUS_TRANSLATED);
            let rule = compare(rule, UNEQUAL, &0_u32.to_ne_bytes());
            verdict(compare(connection(rule, CT_DIRECTION), EQUAL, &[way]), JUMP, Some(chain))
        })],
        Rule::Use(key @ (Key::Source | Key::Destination), set, holds) => {
            let offset = if key == Key::Source { 0 } else { 2 };
            vec![message(&|rule| give(port(rule, offset), set, holds))]
        }
        Rule::Use(Key::Dialled, set, holds) => {
            let [declared, filled] = protocols(id);
            let rule = message(&|rule| {
                let rule = protocol(rule).expression("lookup", |lookup| {
                    lookup
                        .be32(expression::LOOKUP_FROM, REGISTER)
                        .text(expression::LOOKUP_SET, PROTOCOLS)
                        .be32(expression::LOOKUP_SET_ID, id)
                });
                let rule = rule.expression("ct", |ct| {
                    ct.be32(expression::CT_KEY, CT_PORT_DESTINATION)
                        .be32(expression::CT_TO, REGISTER)
                        .attribute(expression::CT_DIRECTION, &[0])
                });
                give(rule, set, holds)
            });
            vec![declared, filled, rule]
        }
    }
}

/// The kernel puts a number in the place of `%d`.
const PROTOCOLS: &str = "__set%d";

/// The set `{ tcp, udp }` of a rule, which has no name and goes with the rule.
fn protocols(id: u32) -> [Request; 2] {
    let declared = message(NEW_SET)
        .text(set::NAME, PROTOCOLS)
        .be32(set::FLAGS, ANONYMOUS | CONSTANT)
        .be32(set::KEY_TYPE, TYPE_PROTOCOL)
        .be32(set::KEY_LENGTH, 1)
        .be32(set::ID, id)
        .nested(set::DESCRIPTION, |description| description.be32(set::DESCRIPTION_SIZE, 2))
        .attribute(set::USER_DATA, &note(NOTE_KEY_ORDER, ORDER_HOST));
    let filled = message(NEW_ELEMENTS).text(elements::SET, PROTOCOLS).be32(elements::SET_ID, id);
    let filled = filled.nested(elements::LIST, |list| {
        [TCP, UDP].into_iter().fold(list, |list, protocol| {
            list.nested(expression::LIST_ITEM, |element| element.value(elements::KEY, &[protocol]))
        })
    });
    [Request::create(declared), Request::create(filled)]
}

/// Gives a packet whose port is in the register what the set holds for it.
fn give(rule: Message, set: &str, holds: Holds) -> Message {
    let lookup = |lookup: Message| lookup.be32(expression::LOOKUP_FROM, REGISTER);
    let object =
        |object: Message| object.be32(expression::OBJECT_FROM, REGISTER).text(expression::OBJECT_SET, set);
    match holds {
        Holds::Nothing => {
            let rule = rule.expression("lookup", |item| lookup(item).text(expression::LOOKUP_SET, set));
            verdict(rule, DROP, None)
        }
        Holds::Quotas => verdict(rule.expression("objref", object), DROP, None),
        Holds::Counters => rule.expression("objref", object),
        Holds::Classes => {
            let rule = rule.expression("lookup", |item| {
                lookup(item).be32(expression::LOOKUP_TO, REGISTER).text(expression::LOOKUP_SET, set)
            });
            rule.expression("meta", |meta| {
                meta.be32(expression::META_KEY, META_PRIORITY).be32(expression::META_FROM, REGISTER)
            })
        }
    }
}

fn protocol(rule: Message) -> Message {
    rule.expression("meta", |meta| {
        meta.be32(expression::META_KEY, META_PROTOCOL).be32(expression::META_TO, REGISTER)
    })
}

fn port(rule: Message, offset: u32) -> Message {
    rule.expression("payload", |payload| {
        payload
            .be32(expression::PAYLOAD_TO, REGISTER)
            .be32(expression::PAYLOAD_BASE, BASE_TRANSPORT)
            .be32(expression::PAYLOAD_OFFSET, offset)
            .be32(expression::PAYLOAD_LENGTH, 2)
    })
}

fn connection(rule: Message, key: u32) -> Message {
    rule.expression("ct", |ct| ct.be32(expression::CT_KEY, key).be32(expression::CT_TO, REGISTER))
}

fn masked(rule: Message, mask: u32) -> Message {
    rule.expression("bitwise", |bitwise| {
        bitwise
            .be32(expression::MASK_FROM, REGISTER)
            .be32(expression::MASK_TO, REGISTER)
            .be32(expression::MASK_LENGTH, 4)
            .value(expression::MASK_AND, &mask.to_ne_bytes())
            .value(expression::MASK_XOR, &0_u32.to_ne_bytes())
    })
}

fn compare(rule: Message, how: u32, with: &[u8]) -> Message {
    rule.expression("cmp", |compare| {
        compare
            .be32(expression::COMPARE_FROM, REGISTER)
            .be32(expression::COMPARE_HOW, how)
            .value(expression::COMPARE_WITH, with)
    })
}

fn verdict(rule: Message, code: i32, chain: Option<&str>) -> Message {
    rule.expression("immediate", |immediate| {
        immediate.be32(expression::IMMEDIATE_TO, REGISTER_VERDICT).nested(
            expression::IMMEDIATE_DATA,
            |data| {
                data.nested(expression::VERDICT, |verdict| {
                    let verdict = verdict.be32(expression::VERDICT_CODE, code.cast_unsigned());
                    match chain {
                        Some(chain) => verdict.text(expression::VERDICT_CHAIN, chain),
                        None => verdict,
                    }
                })
            },
        )
    })
}
