//! What the kernel says of an interface's queueing disciplines and classes, read from its bytes without trusting them.

use pm_kernel::attribute::{Attribute, Attributes};
use pm_kernel::netlink::{Message, Replies};

use crate::handle::Handle;
use crate::leaf::Line;
use crate::wire::{
    CLASS, DELETE_QDISC, GET_CLASS, GET_QDISC, HTB_CEIL64, HTB_INIT, HTB_PARAMETERS, HTB_RATE64, KIND,
    OPTIONS, QDISC, TBF_PARAMETERS, TRAFFIC_HEADER, traffic_header,
};

/// `RTM_NEWLINK` and `RTM_GETLINK`.
const LINK: u16 = 16;
const GET_LINK: u16 = 18;
/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;

/// With `NLA_F_NESTED`, which some kinds insist on and the others do not look at.
const OPTIONS_NESTED: u16 = OPTIONS | 0x8000;

/// In `struct tc_htb_glob`, behind version and `rate2quantum`.
const HTB_DEFAULT_CLASS: usize = 8;
/// In `struct tc_htb_opt`: two `struct tc_ratespec`, each with the rate in its last four bytes, then the rest.
const HTB_RATE: usize = 8;
const HTB_CEIL: usize = 20;
const HTB_BUFFER: usize = 24;
const HTB_CBUFFER: usize = 28;
const HTB_QUANTUM: usize = 32;

/// In `struct tc_tbf_qopt`, behind two `struct tc_ratespec`.
const TBF_LIMIT: usize = 24;
const TBF_MTU: usize = 32;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
}

/// A queueing discipline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Qdisc {
    pub(crate) interface: u32,
    pub(crate) handle: Handle,
    pub(crate) parent: Handle,
    pub(crate) kind: String,
    /// Its parameters as the kernel wrote them. The same kernel makes the same thing of them.
    pub(crate) options: Vec<u8>,
}

/// An HTB class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) id: Handle,
    pub(crate) parent: Handle,
    /// Bytes a second that it may always send, and may send at most.
    pub(crate) rate: u64,
    pub(crate) ceil: u64,
    /// How long the two buckets take to fill, in ticks.
    pub(crate) buffer: u32,
    pub(crate) cbuffer: u32,
    pub(crate) quantum: u32,
}

/// What stands on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) qdiscs: Vec<Qdisc>,
    pub(crate) classes: Vec<Class>,
}

impl Standing {
    /// The queueing discipline below this class.
    pub(crate) fn below(&self, parent: Handle) -> Option<&Qdisc> {
        self.qdiscs.iter().find(|qdisc| qdisc.parent == parent)
    }

    /// Whether there is this class, of our root or of a line.
    pub(crate) fn has_class(&self, id: Handle) -> bool {
        let lines = self.qdiscs.iter().filter(|qdisc| qdisc.kind == "tbf");
        self.classes.iter().any(|class| class.id == id)
            || lines.map(|line| line.handle.only_class()).any(|class| class == id)
    }
}

impl Qdisc {
    /// The class into which an HTB puts what no class claims; 0 when that passes unshaped.
    pub(crate) fn htb_default(&self) -> Option<u32> {
        let init = Attributes::of(&self.options).find(HTB_INIT)?;
        number(init.payload, HTB_DEFAULT_CLASS)
    }

    /// What kind of line a TBF is, if it is one that we set.
    pub(crate) fn line(&self) -> Option<Line> {
        let parameters = Attributes::of(&self.options).find(TBF_PARAMETERS)?.payload;
        Some(Line { limit: number(parameters, TBF_LIMIT)?, largest: number(parameters, TBF_MTU)? })
    }

    /// The message that makes the kernel set this one on an interface.
    pub(crate) fn restore(&self, interface: u32) -> Message {
        let header = traffic_header(interface, self.handle, self.parent);
        let message = Message::new(QDISC, &header).replacing().text(KIND, &self.kind);
        if self.options.is_empty() { message } else { message.attribute(OPTIONS_NESTED, &self.options) }
    }
}

/// The question for one interface by its name.
pub(crate) fn ask_link_named(name: &str) -> Message {
    Message::new(GET_LINK, &[0; LINK_HEADER]).text(LINK_NAME, name)
}

/// The question for one interface by its number.
pub(crate) fn ask_link_numbered(index: u32) -> Message {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    Message::new(GET_LINK, &header)
}

/// The question for all queueing disciplines of all interfaces; the kernel knows no narrower one.
pub(crate) fn ask_qdiscs() -> Message {
    Message::new(GET_QDISC, &[0; TRAFFIC_HEADER])
}

/// The question for the classes of the root `1:` of an interface.
pub(crate) fn ask_classes(interface: u32) -> Message {
    Message::new(GET_CLASS, &traffic_header(interface, Handle::NONE, Handle::OURS))
}

/// The message that makes the kernel delete an interface's root `1:`; its own default follows.
pub(crate) fn delete_root(interface: u32) -> Message {
    Message::new(DELETE_QDISC, &traffic_header(interface, Handle::OURS, Handle::ROOT))
}

/// The interface in the answer.
pub(crate) fn link(replies: &Replies) -> Option<Link> {
    replies.iter().filter(|reply| reply.kind == LINK).find_map(|reply| {
        let attributes = reply.attributes(LINK_HEADER);
        Some(Link {
            index: number(reply.body, 4)?,
            name: attributes.find(LINK_NAME)?.text()?.to_owned(),
            mtu: attributes.find(LINK_MTU).and_then(Attribute::u32)?,
        })
    })
}

/// The queueing disciplines in the answer.
pub(crate) fn qdiscs(replies: &Replies) -> Vec<Qdisc> {
    let qdiscs = replies.iter().filter(|reply| reply.kind == QDISC);
    let read = qdiscs.filter_map(|reply| {
        let attributes = reply.attributes(TRAFFIC_HEADER);
        Some(Qdisc {
            interface: number(reply.body, 4)?,
            handle: number(reply.body, 8).map(Handle)?,
            parent: number(reply.body, 12).map(Handle)?,
            kind: attributes.find(KIND)?.text()?.to_owned(),
            options: attributes.find(OPTIONS).map_or_else(Vec::new, |options| options.payload.to_vec()),
        })
    });
    read.collect()
}

/// The HTB classes of the root `1:` in the answer.
pub(crate) fn classes(replies: &Replies) -> Vec<Class> {
    let classes = replies.iter().filter(|reply| reply.kind == CLASS);
    let read = classes.filter_map(|reply| {
        let attributes = reply.attributes(TRAFFIC_HEADER);
        if attributes.find(KIND)?.text()? != "htb" {
            return None;
        }
        let id = number(reply.body, 8).map(Handle)?;
        let options = attributes.find(OPTIONS)?.nested();
        let parameters = options.find(HTB_PARAMETERS)?.payload;
        // Rates that 32 bits cannot hold stand in attributes of their own.
        let wide = |kind: u16| options.find(kind).and_then(|attribute| attribute.payload.try_into().ok());
        let rate = |kind: u16, offset: usize| match wide(kind) {
            Some(bytes) => Some(u64::from_ne_bytes(bytes)),
            None => number(parameters, offset).map(u64::from),
        };
        let class = Class {
            id,
            parent: number(reply.body, 12).map(Handle)?,
            rate: rate(HTB_RATE64, HTB_RATE)?,
            ceil: rate(HTB_CEIL64, HTB_CEIL)?,
            buffer: number(parameters, HTB_BUFFER)?,
            cbuffer: number(parameters, HTB_CBUFFER)?,
            quantum: number(parameters, HTB_QUANTUM)?,
        };
        (id.major() == Handle::OURS.major() && id.minor() != 0).then_some(class)
    });
    read.collect()
}

/// The 32-bit number of this machine's order that stands there.
fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    bytes.get(offset..end)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer of one message whose type follows the question's, as the kernel numbers them.
    fn reply(message: &Message) -> Replies {
        Replies::from_bytes(message.as_reply())
    }

    fn traffic(kind: u16, handle: u32, parent: Handle, name: &str) -> Message {
        Message::new(kind, &traffic_header(7, Handle(handle), parent)).text(KIND, name)
    }

    /// `struct tc_htb_opt` with these rates, buckets and turn.
    fn htb_parameters(rate: u32, ceil: u32, buffer: u32, cbuffer: u32, quantum: u32) -> Vec<u8> {
        let words = [0, 0, rate, 0, 0, ceil, buffer, cbuffer, quantum, 7, 0];
        words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
    }

    #[test]
    fn a_class_is_read_with_its_rates_and_buckets() {
        let parameters = htb_parameters(12_500_000, 12_500_001, 312_500, 312_501, 60_000);
        let message = traffic(CLASS, 0x0001_2766, Handle::ROOT, "htb")
            .nested(OPTIONS, |options| options.attribute(HTB_PARAMETERS, &parameters));
        assert_eq!(
            classes(&reply(&message)),
            [Class {
                id: Handle::new(1, 0x2766),
                parent: Handle::ROOT,
                rate: 12_500_000,
                ceil: 12_500_001,
                buffer: 312_500,
                cbuffer: 312_501,
                quantum: 60_000,
            }]
        );
    }

    #[test]
    fn rates_beyond_34_gigabits_stand_in_attributes_of_their_own() {
        let parameters = htb_parameters(u32::MAX, u32::MAX, 1, 1, 60_000);
        let message = traffic(CLASS, 0x0001_0005, Handle::ROOT, "htb").nested(OPTIONS, |options| {
            options
                .attribute(HTB_PARAMETERS, &parameters)
                .attribute(HTB_RATE64, &5_000_000_000_u64.to_ne_bytes())
                .attribute(HTB_CEIL64, &6_000_000_000_u64.to_ne_bytes())
        });
        let class = classes(&reply(&message))[0];
        assert_eq!((class.rate, class.ceil), (5_000_000_000, 6_000_000_000));
    }

    #[test]
    fn classes_of_others_are_not_ours() {
        for (handle, kind) in
            [(0x8001_0001, "tbf"), (0x8001_0001, "htb"), (0x0001_0000, "htb"), (0x0001_0005, "hfsc")]
        {
            let message = traffic(CLASS, handle, Handle::ROOT, kind)
                .nested(OPTIONS, |options| options.attribute(HTB_PARAMETERS, &htb_parameters(1, 1, 1, 1, 1)));
            assert_eq!(classes(&reply(&message)), [], "{kind} {handle:x}");
        }
    }

    #[test]
    fn what_was_read_is_what_is_set_again() {
        let message = traffic(QDISC, 0x8001_0000, Handle::ROOT, "fq")
            .nested(OPTIONS, |options| options.attribute(1, &[1, 2, 3, 4]));
        let read = qdiscs(&reply(&message));
        assert_eq!(read[0].kind, "fq");
        assert_eq!(qdiscs(&reply(&read[0].restore(7))), read);
        let bare = qdiscs(&reply(&traffic(QDISC, 0x0007_0000, Handle::ROOT, "mq")));
        assert_eq!(qdiscs(&reply(&bare[0].restore(7))), bare);
    }

    #[test]
    fn the_default_class_and_the_length_of_a_line_are_found_in_the_options() {
        let words = [3_u32, 10, 0xfffe, 0, 0].map(u32::to_ne_bytes).concat();
        let htb = traffic(QDISC, 0x0001_0000, Handle::ROOT, "htb")
            .nested(OPTIONS, |options| options.attribute(HTB_INIT, &words));
        assert_eq!(qdiscs(&reply(&htb))[0].htb_default(), Some(0xfffe));
        let words = [0_u32, 0, 0, 0, 0, 0, 131_072, 0, 1_600].map(u32::to_ne_bytes).concat();
        let tbf = traffic(QDISC, 0x8001_0000, Handle::new(1, 5), "tbf")
            .nested(OPTIONS, |options| options.attribute(TBF_PARAMETERS, &words));
        let tbf = &qdiscs(&reply(&tbf))[0];
        assert_eq!((tbf.line(), tbf.htb_default()), (Some(Line { limit: 131_072, largest: 1_600 }), None));
    }

    #[test]
    fn an_interface_is_read_with_its_mtu() {
        let mut header = [0; LINK_HEADER];
        header[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        let message =
            Message::new(LINK, &header).text(LINK_NAME, "eth0").attribute(LINK_MTU, &1400_u32.to_ne_bytes());
        assert_eq!(link(&reply(&message)), Some(Link { index: 7, name: "eth0".to_owned(), mtu: 1400 }));
        assert_eq!(link(&Replies::default()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(kind in 16_u16..48, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let replies = Replies::from_bytes(Message::new(kind, &body).as_reply());
            let _ = (link(&replies), classes(&replies));
            for qdisc in qdiscs(&replies) {
                let _ = (qdisc.htb_default(), qdisc.line(), qdisc.restore(1));
            }
        }

        #[test]
        fn any_options_can_be_read(options in prop::collection::vec(any::<u8>(), 0..100)) {
            let class = traffic(CLASS, 0x0001_0005, Handle::ROOT, "htb").attribute(OPTIONS, &options);
            let _ = classes(&reply(&class));
            let qdisc = traffic(QDISC, 0x0001_0000, Handle::ROOT, "htb").attribute(OPTIONS, &options);
            for qdisc in qdiscs(&reply(&qdisc)) {
                let _ = (qdisc.htb_default(), qdisc.line());
                prop_assert_eq!(qdisc.options, options.clone());
            }
        }
    }
}
