//! Every prompt can be left, and no answer breaks it.

use super::*;

/// What leads to each prompt there is, and whether the prompt takes any text.
const PROMPTS: [(&[&str], bool); 36] = [
    (&[], false),
    (&["1"], false),
    (&["1", "M"], false),
    (&["1", "1"], false),
    (&["1", "1", "10"], false),
    (&["1", "1", "10", "1"], false),
    (&["1", "1", "10", "1", "0"], false),
    (&["1", "1", "10", "1", "0", "0"], true),
    (&["1", "1", "@家庭"], false),
    (&["1", "1", "@家庭", "0"], true),
    (&["2"], false),
    (&["2", "1"], false),
    (&["2", "1", "1"], false),
    (&["2", "1", "2"], false),
    (&["2", "1", "3"], false),
    (&["2", "1", "4"], false),
    (&["2", "1", "4", "1"], false),
    (&["2", "1", "4", "1", "100"], false),
    (&["2", "1", "4", "1", "100", "5"], false),
    (&["2", "1", "4", "1", "100", "5", "5"], false),
    (&["2", "1", "5"], true),
    (&["2", "1", "6"], false),
    (&["2", "1", "7"], false),
    (&["2", "1", "8"], true),
    (&["2", "1-2"], false),
    (&["2", "1-2", "3"], false),
    (&["2", "1-2", "6"], false),
    (&["3"], false),
    (&["3", "1"], false),
    (&["4"], false),
    (&["4", "1"], true),
    (&["4", "2"], false),
    (&["4", "5"], false),
    (&["4", "6"], false),
    (&["4", "7"], false),
    (&["6"], true),
];

#[test]
fn q_and_the_end_of_input_leave_every_prompt_and_nothing_is_changed() {
    for (way, _) in PROMPTS {
        for word in [Some("q"), Some(" Ｑ\r"), None] {
            let bench = Bench::asleep();
            let before = bench.file();
            let mut steps = lines(way);
            steps.extend(word.map(Step::from));
            // Whoever asks on after that is told by the person; whoever ignores it adds a port.
            if word.is_some() {
                steps.extend(lines(&["1", "M", "5", "5", "1", "0", "0", "no"]));
            }
            bench.talk(steps);
            assert_eq!(bench.file(), before, "{way:?} {word:?}");
        }
    }
}

#[test]
fn b_goes_back_to_the_main_menu_from_every_prompt_that_takes_no_text() {
    for (way, takes_text) in PROMPTS.iter().filter(|(way, _)| !way.is_empty()) {
        if *takes_text {
            continue;
        }
        let bench = Bench::asleep();
        let before = bench.file();
        let mut steps = lines(way);
        steps.extend(lines(&["b", "4", "0", "0"]));
        let shown = bench.talk(steps);
        assert!(shown.contains("Telegram 通知配置"), "{way:?}: {shown}");
        assert_eq!(bench.file(), before, "{way:?}");
    }
}

#[test]
fn no_answer_breaks_a_prompt_or_reaches_the_terminal_as_a_command() {
    let long = "9".repeat(10_000);
    let wide = "长".repeat(10_000);
    let answers: [&[u8]; 16] = [
        long.as_bytes(),
        wide.as_bytes(),
        b"\xff\xfe\x80",
        b"\x1b[2J\x1b]0;title\x07",
        b"\x1b[A\x1b[D",
        b"\0",
        b"-1",
        b"+1",
        b"1e9",
        b"0443",
        b"99999999999999999999",
        b"{}{}",
        "１２；ｒｍ".as_bytes(),
        "\u{202e}\u{200b}".as_bytes(),
        b"1,,2",
        b"\r",
    ];
    for (way, takes_text) in PROMPTS {
        // Where an answer is taken, the prompt is gone; where it is refused, the next one can follow.
        let together: Vec<&[&[u8]]> = if takes_text { answers.chunks(1).collect() } else { vec![&answers] };
        for answers in together {
            for abilities in [PIPE, TERMINAL] {
                let bench = Bench::asleep();
                let mut steps = lines(way);
                steps.extend(answers.iter().map(|answer| Step::Line(answer.to_vec())));
                let (result, shown) = bench.with_menu(Language::Zh, abilities, steps, through);
                result.unwrap();
                let shown = anstream::adapter::strip_str(&shown).to_string();
                let wrong = shown.chars().find(|&c| (c.is_control() && c != '\n') || c == '\u{202e}');
                assert_eq!(wrong, None, "{way:?}");
            }
        }
    }
}

#[test]
fn escape_sequences_are_stored_as_a_remark_and_shown_without_effect() {
    let bench = Bench::new();
    let mut steps = lines(&["2", "1", "5"]);
    steps.push(Step::Line(b"a\x1b[2Jb".to_vec()));
    steps.extend(lines(&["0", "0"]));
    let shown = bench.talk(steps);
    assert_eq!(bench.snapshot().config.ports[&port("10086")].comment, "a\u{1b}[2Jb");
    assert!(shown.contains("a\\u{1b}[2Jb") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_token_is_read_unseen_and_never_shown() {
    let bench = Bench::new();
    let token = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz";
    let shown = bench.talk(lines(&["4", "1", token, "1", "", "0", "0"]));
    assert_eq!(*bench.secrets.borrow(), 2);
    assert!(!shown.contains(token) && shown.contains("123456...wxyz"), "{shown}");
    assert_eq!(bench.snapshot().config.telegram.bot_token.expose(), token, "blank keeps it");
}

#[test]
fn an_output_that_nobody_reads_ends_the_menu_quietly() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let clock = || bench.now.borrow().clone();
    let around = Surroundings {
        machine: &bench.machine,
        runtime: &bench.runtime,
        clock: &clock,
        services: &Vec::new,
        uninstall: &Vec::new,
        texts: Language::Zh.texts(),
    };
    let person = Person { steps: lines(&["1"]).into(), bench: &bench, gone: false };
    Menu::new(around, person, Screen::new(Gone, PIPE)).run().unwrap();
}
