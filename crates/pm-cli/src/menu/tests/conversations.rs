//! What is said and what comes of it, item by item.

use pm_core::config::PortConfig;
use pm_core::edit::telegram::TelegramSettings;
use pm_core::quota::Mode;
use pm_core::reset::ResetDay;
use pm_core::units::Rate;

use super::*;

fn config(bench: &Bench, name: &str) -> PortConfig {
    bench.snapshot().config.ports[&port(name)].clone()
}

#[test]
fn a_port_is_added_in_the_words_and_the_order_of_the_script() {
    let bench = Bench::empty();
    let shown = bench.talk(lines(&["1", "M", "10086", "10", "1", "100", "1", "Snell", "0"]));
    let from = shown.find("正在监听的服务").unwrap();
    let to = shown.find("添加成功!").unwrap() + "添加成功!".len();
    insta::assert_snapshot!(&shown[from..to]);
    let quota = Some(Bytes(10 << 30));
    let (limit, reset_day) = (Some(Rate::mbps(100)), ResetDay::new(1));
    let expected = PortConfig { quota, limit, reset_day, comment: "Snell".into(), ..PortConfig::default() };
    assert_eq!(config(&bench, "10086"), expected);
}

#[test]
fn a_service_is_chosen_by_its_id_and_blanks_are_the_defaults() {
    let bench = Bench::empty();
    bench.talk(lines(&["1", "5", "0.5", "", "", "", "", "0"]));
    let expected = PortConfig { quota: Some(Bytes(1 << 29)), ..PortConfig::default() };
    assert_eq!(config(&bench, "30000-30010"), expected);
}

#[test]
fn full_width_digits_units_and_unlimited_are_understood() {
    let bench = Bench::empty();
    bench.talk(lines(&[
        "１",
        "Ｍ",
        "４４３\r",
        "ｕｎｌｉｍｉｔｅｄ",
        "２",
        "１．５Ｇｂｐｓ",
        "３１",
        "１２",
        "０",
    ]));
    let entry = config(&bench, "443");
    assert_eq!((entry.quota, entry.mode), (None, Mode::OutOnly));
    assert_eq!((entry.limit, entry.reset_day), (Some(Rate::mbps(1_500)), ResetDay::new(31)));
    assert_eq!(entry.comment, "１２", "a remark is kept as it was typed");
}

#[test]
fn each_wrong_answer_is_explained_and_asked_again() {
    let bench = Bench::new();
    let shown = bench.talk(lines(&[
        "1",
        "9",
        "3",
        "4",
        "x",
        "m",
        "10086",
        "20050",
        "10080-10090",
        "0443",
        "65536",
        "443",
        "0",
        "ten",
        "@公司",
        "@家 庭 庭",
        "5",
        "3",
        "2",
        "fast",
        "1bps",
        "20",
        "32",
        "-1",
        "15",
        "ok",
        "0",
    ]));
    for (sentence, times) in [
        ("没有这一项", 2),
        ("该端口已在监控列表中!", 2),
        ("与已有的 20000-20100 有重叠", 2),
        ("与已有的 10086 有重叠", 1),
        ("无效端口", 2),
        ("错误: 配额必须是大于0的纯整数，不要带单位!", 3),
        ("还没有组 公司", 1),
        ("请输入 1 或 2。", 1),
        ("错误: 限速必须是纯整数!", 2),
        ("错误: 重置日必须在 1-31 之间!", 2),
        ("添加成功!", 1),
    ] {
        assert_eq!(shown.matches(sentence).count(), times, "{sentence}: {shown}");
    }
    let entry = config(&bench, "443");
    assert_eq!((entry.quota, entry.mode), (Some(Bytes(5 << 30)), Mode::OutOnly));
    assert_eq!((entry.limit, entry.reset_day), (Some(Rate::mbps(20)), ResetDay::new(15)));
}

#[test]
fn a_new_port_joins_a_group_or_founds_one() {
    let bench = Bench::new();
    let shown = bench.talk(lines(&[
        "1",
        "1",
        "@家庭",
        "50",
        "joined",
        "1",
        "2",
        "@公司 100",
        "1",
        "0",
        "0",
        "founder",
        "0",
    ]));
    assert!(shown.contains("加入组 家庭"), "{shown}");
    let joined = config(&bench, "443");
    assert_eq!((joined.quota, joined.limit), (Some(Bytes(10 << 30)), Some(Rate::mbps(50))));
    assert_eq!(joined.group.unwrap().as_str(), "家庭");
    let founder = config(&bench, "8080");
    assert_eq!((founder.quota, founder.comment.as_str()), (Some(Bytes(100 << 30)), "founder"));
    assert_eq!(founder.group.unwrap().as_str(), "公司");
}

#[test]
fn a_long_remark_is_asked_again() {
    let bench = Bench::empty();
    let long = "长".repeat(201);
    let shown = bench.talk(lines(&["1", "1", "1", "1", "0", "0", &long, "short", "0"]));
    assert!(shown.contains("备注不能超过 200 个字符。"));
    assert_eq!(config(&bench, "443").comment, "short");
}

#[test]
fn the_reserved_port_is_explained_and_the_flow_ends() {
    let bench = Bench::empty();
    let shown = bench.talk(lines(&["1", "m", "65534", "1", "1", "10", "0", "", "0"]));
    assert!(shown.contains("端口 65534 不能限速") && !shown.contains("添加成功!"), "{shown}");
    assert!(bench.snapshot().config.ports.is_empty());
}

#[test]
fn everything_about_a_port_can_be_changed_and_blank_keeps_it() {
    let bench = Bench::new();
    let before = bench.file();
    let shown = bench
        .talk(lines(&["2", "1", "1", "", "2", "", "3", "", "5", "", "7", "", "8", "", "4", "0", "0", "0"]));
    assert_eq!(bench.file(), before);
    for prompt in [
        "月流量配额 (纯数字, GB) [10 GB]: ",
        "选择模式 [1/2] [双向]: ",
        "出站限速 (纯数字, Mbps, 0为不限速) [无限制]: ",
        "备注信息 [Snell] [输入 - 清空]: ",
        "每月自动重置日 (1-31, 0为不自动重置) [0]: ",
        "分组名 [无]: ",
    ] {
        assert!(shown.contains(prompt), "{prompt}: {shown}");
    }
    bench.talk(lines(&["2", "1", "1", "2TB", "2", "2", "3", "0.8", "5", "新 备注", "7", "31", "0", "0"]));
    let entry = config(&bench, "10086");
    assert_eq!((entry.quota, entry.mode), (Some(Bytes(2 << 40)), Mode::OutOnly));
    assert_eq!((entry.limit, entry.reset_day), (Some(Rate::bits_per_second(800_000)), ResetDay::new(31)));
    assert_eq!(entry.comment, "新 备注");
    bench.talk(lines(&["2", "1", "1", "unlimited", "3", "0", "5", "-", "7", "0", "0", "0"]));
    let entry = config(&bench, "10086");
    let cleared = (entry.quota, entry.limit, entry.reset_day, entry.comment.as_str());
    assert_eq!(cleared, (None, None, None, ""));
}

#[test]
fn a_group_is_joined_left_and_refused() {
    let bench = Bench::new();
    bench.talk(lines(&["2", "1", "8", "家庭", "0", "0"]));
    assert_eq!(config(&bench, "10086").group.unwrap().as_str(), "家庭");
    bench.talk(lines(&["2", "1", "8", "-", "0", "0"]));
    assert_eq!(config(&bench, "10086").group, None);
    let shown = bench.talk(lines(&["2", "1", "8", &"x".repeat(65), "", "0", "0"]));
    assert!(shown.contains("组名为 1-64 个字符"), "{shown}");
}

#[test]
fn the_penalty_is_set_in_four_steps_and_its_figures_are_kept() {
    let bench = Bench::new();
    let shown = bench.talk(lines(&["2", "1", "4", "1", "0", "100", "x", "5", "5", "0", "60", "0", "0"]));
    let said = |sentence: &str| shown.matches(sentence).count();
    assert_eq!(said("(1/4) 触发阈值 [例如 100] (Mbps): "), 2, "{shown}");
    assert_eq!(said("请输入 1-1440 的整数 (分钟)。"), 1, "{shown}");
    let policy = config(&bench, "10086").dynqos;
    assert!(policy.enabled);
    let policy = policy.policy.unwrap();
    assert_eq!((policy.trigger, policy.minutes), (Rate::mbps(100), 5));
    assert_eq!((policy.penalty, policy.duration), (Rate::mbps(5), 60));

    let shown = bench.talk(lines(&["2", "1", "4", "1", "", "", "10", "", "0", "0"]));
    assert!(shown.contains("规则详情    > 100Mbps 持续 5分 -> 降至 5Mbps"), "{shown}");
    assert!(shown.contains("(4/4) 惩罚持续时长 [当前 60] (分钟): "), "{shown}");
    assert_eq!(config(&bench, "10086").dynqos.policy.unwrap().penalty, Rate::mbps(10));
    bench.talk(lines(&["2", "1", "4", "2", "0", "0"]));
    let dynqos = config(&bench, "10086").dynqos;
    assert!(!dynqos.enabled && dynqos.policy.is_some());
}

#[test]
fn usage_is_cleared_after_a_yes_alone() {
    let bench = Bench::new();
    bench.kernel.packet(port("10086"), Direction::Out, 5 << 30);
    let used = |bench: &Bench| bench.snapshot().state.ports[&port("10086")].ledger.used().total();
    for no in ["n", "", "N", "no"] {
        let shown = bench.talk(lines(&["2", "1", "6", no, "0", "0"]));
        assert!(shown.contains("确定清零吗? [y/N]: ") && shown.contains("已取消。"));
    }
    assert_eq!(used(&bench), Bytes(5 << 30));
    let shown = bench.talk(lines(&["2", "1", "6", "maybe", "Ｙ", "0", "0"]));
    assert!(shown.contains("请输入 y 或 n。") && shown.contains("统计数据已清零。"), "{shown}");
    assert_eq!(used(&bench), Bytes(0));
}

#[test]
fn several_ports_are_limited_and_cleared_together() {
    let bench = Bench::new();
    bench.kernel.packet(port("10086"), Direction::Out, 5 << 30);
    bench.kernel.packet(port("20000-20100"), Direction::Out, 1 << 30);
    let shown = bench.talk(lines(&["2", "1-2", "3", "30", "6", "y", "0", "0"]));
    assert!(shown.contains("已选端口: 10086, 20000-20100"), "{shown}");
    for name in ["10086", "20000-20100"] {
        assert_eq!(config(&bench, name).limit, Some(Rate::mbps(30)));
        assert_eq!(bench.snapshot().state.ports[&port(name)].ledger.used().total(), Bytes(0));
    }
    assert_eq!(bench.kernel.classes().len(), 2, "it is in force at once");
}

#[test]
fn an_id_is_that_of_the_list_and_a_port_is_pointed_out() {
    let bench = Bench::new();
    let shown = bench.talk(lines(&["2", "3", "10086", "1-3", "0", "0"]));
    assert!(shown.contains("请输入要配置的端口 ID (查看上方列表): \nID > "), "{shown}");
    assert_eq!(shown.matches("没有这个 ID: 请输入 1-2 之间的数字").count(), 2, "{shown}");
    assert!(shown.contains("10086 是端口号, 它的 ID 是 1。"), "{shown}");
}

#[test]
fn ports_are_deleted_by_ids_and_ranges_of_ids_after_a_yes() {
    let bench = Bench::new();
    let shown = bench.talk(lines(&["3", "2", "n", "3", "１－２", "y", "3", "0"]));
    assert!(shown.contains("请输入要删除的端口 ID: "), "{shown}");
    assert!(shown.contains("确定删除端口 20000-20100 监控吗? [y/N]: "), "{shown}");
    assert!(shown.contains("确定删除端口 10086, 20000-20100 监控吗? [y/N]: "), "{shown}");
    assert!(shown.contains("删除完成。") && shown.contains("暂无监控端口"), "{shown}");
    assert!(bench.snapshot().config.ports.is_empty());
}

#[test]
fn telegram_is_set_up_step_by_step() {
    let bench = Bench::new();
    let token = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz";
    let shown = bench.talk(lines(&[
        "4",
        "4",
        "3",
        "1",
        "nonsense",
        token,
        "2",
        "12x",
        "-1001234567890",
        "4",
        "5",
        "0,50",
        "90, 50,90",
        "6",
        "example.com",
        "https://tg.example.com/",
        "7",
        "169",
        "6",
        "0",
        "0",
    ]));
    for (sentence, times) in [
        ("请先配置 Bot Token 和 Chat ID。", 2),
        ("这不是 Bot Token", 1),
        ("这不是 Chat ID", 1),
        ("请输入 1-100 的整数, 用逗号分隔", 1),
        ("这不是 API 地址", 1),
        ("请输入 0-168 的整数。", 1),
        ("4. 通知设置 (Telegram) ⚪ 未配置", 1),
        ("4. 通知设置 (Telegram) ✅ 已开启", 1),
    ] {
        assert_eq!(shown.matches(sentence).count(), times, "{sentence}: {shown}");
    }
    let page = &shown[shown.rfind("   Telegram 通知配置").unwrap()..];
    insta::assert_snapshot!(&page[..page.find(" 1. ").unwrap()]);
    let shown = bench.talk(lines(&["4", "4", "6", "", "5", "", "7", "0", "0", "0"]));
    assert!(shown.contains("通知已关闭。"), "{shown}");
    let telegram = bench.snapshot().config.telegram;
    assert_eq!((telegram.api_url.as_str(), telegram.report_interval_hours), ("https://api.telegram.org", 0));
    assert_eq!(telegram.thresholds.levels().collect::<Vec<_>>(), [50, 90], "blank keeps them");
}

#[test]
fn a_password_in_an_address_is_on_no_page_and_in_no_prompt() {
    let secret = |text: &str| Some(pm_core::config::Secret::new(text));
    let settings = TelegramSettings {
        bot_token: secret("123456789:ABCdefGHIjklMNOpqrSTUvwxyz"),
        api_url: Some("http://me:hush@tg.example.com".into()),
        proxy: secret("socks5://me:hush@127.0.0.1:1080"),
        ..TelegramSettings::default()
    };
    for (language, prompt) in [
        (Language::Zh, "API 地址 (留空恢复默认) [http://***@tg.example.com]: "),
        (Language::En, " [http://***@tg.example.com]: "),
    ] {
        let bench = Bench::new();
        bench.edit(&Edit::Telegram(settings.clone()));
        let (_, shown) =
            bench.with_menu(language, PIPE, lines(&["4", "1", "", "6", "wrong", "", "0", "0"]), through);
        assert!(!shown.contains("hush") && !shown.contains("ABCdef"), "{shown}");
        assert!(shown.contains(prompt) && shown.contains("socks5://***@127.0.0.1:1080"), "{shown}");
    }
}

#[test]
fn a_test_message_that_cannot_be_delivered_says_why() {
    let bench = Bench::new();
    let token = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz";
    // A port that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let shown =
        bench.talk(lines(&["4", "1", token, "2", "42", "6", &format!("http://{nobody}"), "3", "0", "0"]));
    assert!(shown.contains("正在发送测试消息...") && shown.contains("测试消息未送达: "), "{shown}");
    assert!(!shown.contains(token), "{shown}");
    assert!(bench.snapshot().state.outbox.messages.is_empty(), "it was told at once or not at all");
}

#[test]
fn update_says_what_to_do() {
    let bench = Bench::new();
    let before = bench.file();
    let shown = bench.talk(lines(&["5", "0"]));
    assert!(shown.contains(&format!("当前版本: v{}", env!("CARGO_PKG_VERSION"))), "{shown}");
    assert!(shown.contains("更新失败, 一切保持原样: 还没有设置更新地址"), "{shown}");
    assert_eq!(bench.file(), before);
}

#[test]
fn uninstalling_takes_a_whole_yes_and_ends_the_menu() {
    for no in ["", "y", "Y", "no", "yes!", "ye s"] {
        let bench = Bench::new();
        let shown = bench.talk(lines(&["6", no, "0"]));
        assert!(shown.contains("确认卸载? (输入 yes): ") && shown.contains("已取消"), "{shown}");
        assert_eq!(*bench.uninstalled.borrow(), 0, "{no:?}");
    }
    for yes in ["yes", "YES", " Yes\r", "ｙｅｓ"] {
        let bench = Bench::new();
        let shown = bench.talk(lines(&["6", yes]));
        assert!(shown.ends_with(" gone\nthe end\n"), "{shown}");
        assert_eq!(*bench.uninstalled.borrow(), 1, "{yes:?}");
    }
}

#[test]
fn an_unknown_choice_draws_the_menu_again() {
    let bench = Bench::new();
    let shown = bench.talk(lines(&["7", "", "hello", "00", "0"]));
    assert_eq!(shown.matches("请输入选项: ").count(), 5, "{shown}");
}

#[test]
fn a_change_that_cannot_be_made_is_told_and_the_menu_goes_on() {
    let bench = Bench::new();
    let before = bench.file();
    bench.kernel.set_broken(true);
    let shown = bench.talk(lines(&["3", "1", "y", "4", "0", "0"]));
    assert!(shown.contains("操作未完成: ") && shown.contains("Telegram 通知配置"), "{shown}");
    assert!(shown.contains("显示的是后台上次运行时的数据: "), "{shown}");
    assert!(shown.contains("操作未完成: 计数器读取失败, 未作任何更改: "), "{shown}");
    assert_eq!(bench.file(), before);
}

#[test]
fn a_file_that_cannot_be_read_ends_the_menu_with_its_place() {
    let bench = Bench::new();
    std::fs::write(Paths::under(bench.folder.path()).config(), "{\n oops").unwrap();
    for (language, place) in [(Language::Zh, "第 2 行"), (Language::En, "line 2")] {
        let (result, _) = bench.with_menu(language, PIPE, lines(&["0"]), through);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn what_should_be_known_is_told_in_chinese() {
    let bench = Bench::new();
    let group = Some(Some(pm_core::config::GroupId::new("家庭").unwrap()));
    bench.edit(&Edit::Set(port("10086"), Settings { group, ..Settings::default() }));
    let path = Paths::under(bench.folder.path()).config();
    let file = String::from_utf8(bench.file()).unwrap().replacen("\"quota_gb\": 10", "\"quota_gb\": 0", 1);
    std::fs::write(path, file).unwrap();
    let shown = bench.talk(lines(&["2", "1", "1", "30", "6", "y", "0", "0"]));
    assert!(shown.contains("端口 10086 的配额是 0 GB, 因此被阻断"), "{shown}");
    assert!(shown.contains("组 家庭 中端口 10086 和 20000-20100 的配额、计费模式或重置日不同"), "{shown}");
    assert!(shown.contains("现在对组 家庭 的全部端口生效: 10086, 20000-20100"), "{shown}");
    assert!(shown.contains("20000-20100 在组 家庭 配额中已用的流量保留"), "{shown}");
}

#[test]
fn the_monitor_goes_on_while_somebody_thinks() {
    let bench = Bench::new();
    let now = bench.now.borrow().clone();
    bench.with_menu(Language::Zh, PIPE, lines(&["0"]), |menu| {
        let page = menu.main_page().ok().unwrap();
        assert!(page.contains("后台尚未运行"), "{page}");
        bench.runtime.block_on(bench.machine.minute(&now)).unwrap();
        let page = menu.main_page().ok().unwrap();
        assert!(page.contains("后台上次运行: 0 秒前"), "{page}");
        menu.run().unwrap();
    });
}
