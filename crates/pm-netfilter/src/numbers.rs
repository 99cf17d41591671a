//! The numbers of the kernel's `linux/netfilter/nf_tables.h`, by which its questions, changes and answers are written.

/// `NFNL_SUBSYS_NFTABLES`, the upper half of every type.
pub(crate) const SUBSYSTEM: u16 = 10 << 8;
pub(crate) const NEW_TABLE: u16 = SUBSYSTEM;
pub(crate) const GET_TABLE: u16 = SUBSYSTEM | 0x1;
pub(crate) const DELETE_TABLE: u16 = SUBSYSTEM | 0x2;
pub(crate) const NEW_CHAIN: u16 = SUBSYSTEM | 0x3;
pub(crate) const GET_CHAIN: u16 = SUBSYSTEM | 0x4;
pub(crate) const DELETE_CHAIN: u16 = SUBSYSTEM | 0x5;
pub(crate) const NEW_RULE: u16 = SUBSYSTEM | 0x6;
pub(crate) const GET_RULE: u16 = SUBSYSTEM | 0x7;
pub(crate) const DELETE_RULE: u16 = SUBSYSTEM | 0x8;
pub(crate) const NEW_SET: u16 = SUBSYSTEM | 0x9;
pub(crate) const GET_SET: u16 = SUBSYSTEM | 0xa;
pub(crate) const DELETE_SET: u16 = SUBSYSTEM | 0xb;
pub(crate) const NEW_ELEMENTS: u16 = SUBSYSTEM | 0xc;
pub(crate) const GET_ELEMENTS: u16 = SUBSYSTEM | 0xd;
pub(crate) const DELETE_ELEMENTS: u16 = SUBSYSTEM | 0xe;
pub(crate) const NEW_GENERATION: u16 = SUBSYSTEM | 0xf;
pub(crate) const GET_GENERATION: u16 = SUBSYSTEM | 0x10;
pub(crate) const NEW_OBJECT: u16 = SUBSYSTEM | 0x12;
pub(crate) const GET_OBJECT: u16 = SUBSYSTEM | 0x13;
pub(crate) const DELETE_OBJECT: u16 = SUBSYSTEM | 0x14;

/// `struct nfgenmsg`: family, version, resource.
pub(crate) const HEADER: usize = 4;
pub(crate) const FAMILY_INET: u8 = 1;
pub(crate) const FAMILY_NONE: u8 = 0;

/// Attributes of which every kind of thing has its own numbers; the table's name is number 1 everywhere.
pub(crate) const OF_TABLE: u16 = 1;

/// Of generations.
pub(crate) mod generation {
    pub(crate) const ID: u16 = 1;
}

/// Of tables.
pub(crate) mod table {
    pub(crate) const FLAGS: u16 = 2;
    pub(crate) const HANDLE: u16 = 4;
}

/// Of objects.
pub(crate) mod object {
    pub(crate) const NAME: u16 = 2;
    pub(crate) const TYPE: u16 = 3;
    pub(crate) const DATA: u16 = 4;
    pub(crate) const HANDLE: u16 = 6;
    pub(crate) const COUNTER_BYTES: u16 = 1;
    pub(crate) const COUNTER_PACKETS: u16 = 2;
    pub(crate) const QUOTA_BYTES: u16 = 1;
    pub(crate) const QUOTA_FLAGS: u16 = 2;
    pub(crate) const QUOTA_CONSUMED: u16 = 4;
    /// `NFT_QUOTA_F_INV`: the kernel marks exhausted quotas by another flag beside it.
    pub(crate) const QUOTA_FLAG_OVER: u32 = 0x1;
}

/// Of chains.
pub(crate) mod chain {
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const TYPE: u16 = 7;
    pub(crate) const FLAGS: u16 = 10;
    pub(crate) const FLAG_BASE: u32 = 0x1;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
}

/// Of rules.
pub(crate) mod rule {
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const HANDLE: u16 = 3;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const POSITION: u16 = 6;
}

/// Of the expressions that rules are made of. The names are those of the attributes without what they share.
pub(crate) mod expression {
    pub(crate) const LIST_ITEM: u16 = 1;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const META_TO: u16 = 1;
    pub(crate) const META_KEY: u16 = 2;
    pub(crate) const META_FROM: u16 = 3;
    pub(crate) const COMPARE_FROM: u16 = 1;
    pub(crate) const COMPARE_HOW: u16 = 2;
    pub(crate) const COMPARE_WITH: u16 = 3;
    pub(crate) const MASK_FROM: u16 = 1;
    pub(crate) const MASK_TO: u16 = 2;
    pub(crate) const MASK_LENGTH: u16 = 3;
    pub(crate) const MASK_AND: u16 = 4;
    pub(crate) const MASK_XOR: u16 = 5;
    pub(crate) const PAYLOAD_TO: u16 = 1;
    pub(crate) const PAYLOAD_BASE: u16 = 2;
    pub(crate) const PAYLOAD_OFFSET: u16 = 3;
    pub(crate) const PAYLOAD_LENGTH: u16 = 4;
    pub(crate) const CT_TO: u16 = 1;
    pub(crate) const CT_KEY: u16 = 2;
    pub(crate) const CT_DIRECTION: u16 = 3;
    pub(crate) const LOOKUP_SET: u16 = 1;
    pub(crate) const LOOKUP_FROM: u16 = 2;
    pub(crate) const LOOKUP_TO: u16 = 3;
    pub(crate) const LOOKUP_SET_ID: u16 = 4;
    pub(crate) const OBJECT_FROM: u16 = 3;
    pub(crate) const OBJECT_SET: u16 = 4;
    pub(crate) const IMMEDIATE_TO: u16 = 1;
    pub(crate) const IMMEDIATE_DATA: u16 = 2;
    pub(crate) const VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const VERDICT_CHAIN: u16 = 2;
}

/// Of sets and maps.
pub(crate) mod set {
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LENGTH: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const DATA_LENGTH: u16 = 7;
    pub(crate) const DESCRIPTION: u16 = 9;
    pub(crate) const DESCRIPTION_SIZE: u16 = 1;
    pub(crate) const ID: u16 = 10;
    pub(crate) const TIMEOUT: u16 = 11;
    pub(crate) const USER_DATA: u16 = 13;
    pub(crate) const OBJECT_TYPE: u16 = 15;
}

/// Of the elements of sets.
pub(crate) mod elements {
    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const USER_DATA: u16 = 6;
    pub(crate) const OBJECT: u16 = 9;
    pub(crate) const KEY_END: u16 = 10;
    /// `NFTA_DATA_VALUE`, around keys and data.
    pub(crate) const DATA_VALUE: u16 = 1;
    pub(crate) const SET: u16 = 2;
    pub(crate) const LIST: u16 = 3;
    pub(crate) const SET_ID: u16 = 4;
    /// `NFT_SET_ELEM_INTERVAL_END`.
    pub(crate) const FLAG_END: u32 = 0x1;
    /// What is neither counted nor measured in time.
    pub(crate) const LASTING: [u16; 5] = [KEY, DATA, FLAGS, OBJECT, KEY_END];
}
