//! The texts of `pm telegram` and `pm report`.

/// The texts of one language.
pub(crate) struct DeliveryTexts {
    pub(crate) proxy: &'static str,
    pub(crate) language: &'static str,
    pub(crate) waiting: &'static str,
    pub(crate) last_error: &'static str,
    /// Of the names of all settings, in terminal cells.
    pub(crate) width: usize,
    pub(crate) sent_to: &'static str,
    pub(crate) wrong_token: &'static str,
    pub(crate) wrong_chat: &'static str,
    pub(crate) shut_out: &'static str,
    pub(crate) later: &'static str,
    pub(crate) wrong_address: &'static str,
    pub(crate) no_way: &'static str,
}

pub(super) const ZH: DeliveryTexts = DeliveryTexts {
    proxy: "代理:",
    language: "消息语言:",
    waiting: "待发消息:",
    last_error: "最近错误:",
    width: 10,
    sent_to: "已发送: {}",
    wrong_token: "Token 不对或已被撤销: 向 @BotFather 取得 Token, 用 pm telegram set --token-file FILE 设置; 若用反代, 请检查 pm telegram set --api-url。",
    wrong_chat: "请检查 Chat ID: 先向机器人发送 /start, 或把它加入群组/频道, 再用 pm telegram set --chat ID 设置。",
    shut_out: "机器人被拒绝: 请在 Telegram 中解除对它的屏蔽并发送 /start, 或重新把它加入群组/频道。",
    later: "Telegram 暂时不接收: 请稍后再试。",
    wrong_address: "API 地址不对: 请用 pm telegram set --api-url 指向 Bot API 本身 (留空恢复默认), 或检查 --proxy。",
    no_way: "请检查网络、DNS 和系统时间; 无法直连 Telegram 时, 用 pm telegram set --api-url 设置反代, 或用 --proxy 设置代理。",
};

pub(super) const EN: DeliveryTexts = DeliveryTexts {
    proxy: "Proxy:",
    language: "Messages in:",
    waiting: "Waiting:",
    last_error: "Last error:",
    width: 13,
    sent_to: "sent: {}",
    wrong_token: "The token is wrong or was revoked: get it from @BotFather and give it with pm telegram set --token-file FILE; with a mirror, check pm telegram set --api-url.",
    wrong_chat: "Check the chat: send /start to the bot, or add it to the group or channel, then give its number with pm telegram set --chat ID.",
    shut_out: "The bot is shut out: unblock it in Telegram and send it /start, or add it to the group or channel again.",
    later: "Telegram does not take it now: try again later.",
    wrong_address: "The address is wrong: let pm telegram set --api-url point to the Bot API itself (an empty one restores the default), or check --proxy.",
    no_way: "Check the network, DNS and the clock; where Telegram cannot be reached directly, pm telegram set --api-url takes a mirror and --proxy a proxy.",
};
