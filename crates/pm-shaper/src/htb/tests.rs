//! What a refusal means, and what is left after one.

use std::env;
use std::io;
use std::process::Command;

use pm_core::backend::Fault;
use pm_kernel::netlink::Protocol;

use super::*;
use crate::bucket::Bucket;
use crate::leaf::Line;
use crate::standing::{Class, Qdisc};

const CLASS: Handle = Handle::new(1, 0x2766);
const LINE: Line = Line { limit: 1, largest: 1 };

/// `ENOENT`, `EPERM` and `EINVAL`.
const ABSENT: i32 = 2;
const FORBIDDEN: i32 = 1;
const INVALID: i32 = 22;

fn refusal(number: i32) -> NetlinkError {
    NetlinkError::Refused { protocol: Protocol::Route, source: io::Error::from_raw_os_error(number) }
}

fn standing() -> Standing {
    let class =
        Class { id: CLASS, parent: Handle::ROOT, rate: 1, ceil: 1, buffer: 1, cbuffer: 1, quantum: 1 };
    let (kind, handle) = ("tbf".to_owned(), Handle::new(0x8001, 0));
    let line = Qdisc { interface: 7, handle, parent: CLASS, kind, options: Vec::new() };
    Standing { qdiscs: vec![line], classes: vec![class] }
}

#[test]
fn a_queue_that_is_refused_where_its_class_stands_is_one_that_the_kernel_lacks() {
    let explained = |step| explain(&step, &refusal(ABSENT), &standing());
    assert_eq!(explained(Step::SetLine(CLASS, LINE)), Refused::Lacking("tbf"));
    assert_eq!(explained(Step::SetFqCodel(Handle::new(0x8001, 1))), Refused::Lacking("fq_codel"));
}

#[test]
fn what_another_program_took_away_meanwhile_is_looked_at_again() {
    let (gone, bucket) = (Handle::new(1, 5), Bucket::of(Rate::mbps(1)));
    for step in [
        Step::SetLine(gone, LINE),
        Step::SetFqCodel(Handle::new(0x8002, 1)),
        Step::DeleteClass(gone),
        Step::ClearLeaf(gone),
        Step::SetClass(gone, bucket),
        Step::ClearRoot,
    ] {
        assert_eq!(explain(&step, &refusal(ABSENT), &standing()), Refused::Meanwhile, "{step}");
    }
}

#[test]
fn what_is_refused_for_good_is_told_with_what_to_do() {
    let fault = |step: Step, number: i32| {
        assert_eq!(explain(&step, &refusal(number), &standing()), Refused::Final);
        let error = BackendError::from(ShaperError::refusing("eth0", step, refusal(number)));
        (error.fault, error.to_string())
    };
    let (told, said) = fault(Step::SetRoot, ABSENT);
    assert!(told == Fault::Missing && said.contains("modprobe sch_htb"), "{said}");
    let (told, said) = fault(Step::SetLine(CLASS, LINE), FORBIDDEN);
    assert!(told == Fault::Permission && said.contains("root"), "{said}");
    let (told, said) = fault(Step::SetClass(CLASS, Bucket::of(Rate::mbps(1))), INVALID);
    assert_eq!(told, Fault::Failed);
    assert!(said.contains("`eth0`") && said.contains("port 10086"), "{said}");
}

/// Runs a line of shell in the namespace of this test and returns what it printed.
fn shell(line: &str) -> String {
    assert!(
        env::var_os("PM_ENCLOSED").is_some(),
        "this would change the network of the machine: run these tests by `cargo xtask test kernel`"
    );
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_root_that_cannot_be_set_leaves_what_stood_before() {
    shell("ip link add pm9 type veth peer name far9; ip link set pm9 up");
    for before in [
        "true",
        "tc qdisc replace dev pm9 root handle 1: pfifo limit 77",
        "tc qdisc replace dev pm9 root handle 7: pfifo",
    ] {
        shell(before);
        let stood = shell("tc qdisc show dev pm9");
        let folder = tempfile::tempdir().unwrap();
        let shaper = Htb::new(folder.path().join("record.json"));
        let mut record = Record::load(&shaper.record).unwrap();
        let mut kernel = Kernel::open().unwrap();
        let link = kernel.link_named("pm9").unwrap().unwrap();
        let standing = kernel.standing(&link).unwrap();
        let root = judge(&standing, &link, &record, false).unwrap();
        let steps = shaper.note(&mut record, &link, &standing, root).unwrap();
        // All but the last one, which sets the root, as if the kernel had refused it.
        assert!(kernel.take(&link, &steps[..steps.len() - 1]).unwrap().is_none());
        shaper.withdraw(&mut kernel, &mut record, &link).unwrap();
        assert_eq!(shell("tc qdisc show dev pm9"), stood);
        assert_eq!(Record::load(&shaper.record).unwrap().taken, None);
    }
    shell("ip link del pm9");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn of_many_steps_the_first_that_the_kernel_refuses_is_named_and_those_beside_it_are_taken() {
    shell("ip link add pm8 type veth peer name far8; ip link set pm8 up");
    let mut kernel = Kernel::open().unwrap();
    let link = kernel.link_named("pm8").unwrap().unwrap();
    let set = |minor| Step::SetClass(Handle::new(1, minor), Bucket::of(Rate::mbps(5)));
    let mut steps = vec![Step::SetRoot];
    steps.extend((1..=500).map(set));
    // Nobody can delete what is not there.
    steps[300] = Step::DeleteClass(Handle::new(1, 0xffff));
    let (step, error) = kernel.take(&link, &steps).unwrap().unwrap();
    assert!(step == steps[300] && error.is_absent(), "{step}: {error}");
    assert_eq!(kernel.standing(&link).unwrap().classes.len(), 499);
    shell("ip link del pm8");
}
