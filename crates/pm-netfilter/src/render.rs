//! The text of the one transaction that turns what stands into a layout.

use std::fmt::{self, Write};

use crate::layout::{Chain, Holds, Hook, Layout, PRIORITY, Set, TABLE, Value};
use crate::standing::{ChainShape, SetShape, Standing};

/// How many elements one `add element` command holds. nft quotes the whole line when it complains.
const ELEMENTS_PER_LINE: usize = 500;

/// The commands for `nft -f -`.
///
/// Rules are replaced and sets are filled anew, while counters and quotas that stay are only declared again, which
/// keeps their values. Nothing is deleted but what was just seen to stand: nft fails on what is absent.
pub(crate) fn transaction(layout: &Layout, standing: &Standing) -> String {
    render(|script| script.transaction(layout, standing))
}

/// The commands that make the table anew, whatever stands in it. All counters begin at zero.
pub(crate) fn recreation(layout: &Layout) -> String {
    let create = transaction(layout, &Standing::default());
    // `delete` fails on an absent table, and not every supported nft knows `destroy`.
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n{create}")
}

/// The commands that remove the table. It is added first because `delete` fails when another program was faster.
pub(crate) const REMOVAL: &str = "add table inet port_monitor\ndelete table inet port_monitor\n";

fn render(write: impl FnOnce(&mut Script) -> fmt::Result) -> String {
    let mut script = Script { text: String::new() };
    // Writing into a string cannot fail.
    let _ = write(&mut script);
    script.text
}

struct Script {
    text: String,
}

impl Script {
    fn transaction(&mut self, layout: &Layout, standing: &Standing) -> fmt::Result {
        writeln!(self.text, "add table inet {TABLE}")?;
        writeln!(self.text, "flush table inet {TABLE}")?;
        self.delete_misfits(layout, standing)?;
        // nft 1.0.6 sends the elements of interval maps together with the map, so what they name comes first.
        for name in &layout.counters {
            writeln!(self.text, "add counter inet {TABLE} {name}")?;
        }
        for (name, over) in &layout.quotas {
            writeln!(self.text, "add quota inet {TABLE} {name} {{ over {} bytes }}", over.0)?;
        }
        for set in &layout.sets {
            self.set(set)?;
        }
        for set in &layout.sets {
            self.elements(set)?;
        }
        for chain in &layout.chains {
            self.chain(chain)?;
        }
        for chain in &layout.chains {
            for rule in &chain.rules {
                writeln!(self.text, "add rule inet {TABLE} {} {rule}", chain.name)?;
            }
        }
        self.delete_objects(layout, standing)
    }

    /// Chains and sets that are not wanted, or not in this shape. Their rules and so all uses of them are gone.
    fn delete_misfits(&mut self, layout: &Layout, standing: &Standing) -> fmt::Result {
        for (name, shape) in &standing.chains {
            let wanted = layout.chains.iter().find(|chain| chain.name == name);
            if wanted.map(ChainShape::of).as_ref() != Some(shape) {
                writeln!(self.text, "delete chain inet {TABLE} {name}")?;
            }
        }
        for (name, shape) in standing.sets.iter().filter(|(_, shape)| !shape.is_anonymous()) {
            let wanted = layout.sets.iter().find(|set| set.name == name);
            if wanted.map(SetShape::of).as_ref() != Some(shape) {
                let noun = if shape.is_map() { "map" } else { "set" };
                writeln!(self.text, "delete {noun} inet {TABLE} {name}")?;
            }
        }
        Ok(())
    }

    fn set(&mut self, set: &Set) -> fmt::Result {
        let (noun, value) = match set.holds {
            Holds::Nothing => ("set", ""),
            Holds::Counters => ("map", " : counter"),
            Holds::Quotas => ("map", " : quota"),
            Holds::Classes => ("map", " : classid"),
        };
        let flags = if set.ranges { " flags interval;" } else { "" };
        let name = set.name;
        writeln!(self.text, "add {noun} inet {TABLE} {name} {{ type inet_service{value};{flags} }}")?;
        writeln!(self.text, "flush {noun} inet {TABLE} {name}")
    }

    fn elements(&mut self, set: &Set) -> fmt::Result {
        for line in set.elements.chunks(ELEMENTS_PER_LINE) {
            write!(self.text, "add element inet {TABLE} {} {{ ", set.name)?;
            for (position, (entry, value)) in line.iter().enumerate() {
                let comma = if position == 0 { "" } else { ", " };
                write!(self.text, "{comma}{entry}")?;
                match value {
                    Value::None => {}
                    Value::Object(prefix, owner) => {
                        write!(self.text, " : \"{prefix}{}\"", owner.kernel_suffix())?;
                    }
                    Value::Class(class) => write!(self.text, " : {class}")?,
                }
            }
            writeln!(self.text, " }}")?;
        }
        Ok(())
    }

    fn chain(&mut self, chain: &Chain) -> fmt::Result {
        write!(self.text, "add chain inet {TABLE} {}", chain.name)?;
        let hook = match chain.hook {
            None => return writeln!(self.text),
            Some(Hook::Input) => "input",
            Some(Hook::Forward) => "forward",
            Some(Hook::Output) => "output",
        };
        writeln!(self.text, " {{ type filter hook {hook} priority {PRIORITY}; policy accept; }}")
    }

    /// Objects go last: until here, elements of standing sets may name them.
    fn delete_objects(&mut self, layout: &Layout, standing: &Standing) -> fmt::Result {
        for name in standing.counters.difference(&layout.counters) {
            writeln!(self.text, "delete counter inet {TABLE} {name}")?;
        }
        for name in standing.quotas.keys().filter(|&name| !layout.quotas.contains_key(name)) {
            writeln!(self.text, "delete quota inet {TABLE} {name}")?;
        }
        Ok(())
    }
}
