// What the page says, in Chinese and English, and how it writes spans of time and times of day.

import { language, money, names } from "./locale.js";

const WORDS = {
  zh: {
    name: "快招",
    tagline: "公共零工市场 · 即时快招实况",
    skip: "跳到各区情况",
    "other-language": "EN",
    "other-language-label": "Switch to English",
    theme: { auto: "自动", light: "浅色", dark: "深色" },
    "theme-label": "配色：{theme}",
    connecting: "正在连接…",
    live: "实时 · {age}前更新",
    stale: "已 {age}没有新数据",
    away: "看板暂时取不到（{why}），正在重试",
    "no-answer": "没有应答",
    waiting: "等候求职者",
    seats: "在招名额",
    offers: "待答复派单",
    placements: "已落实用工",
    speed: "签到到派单",
    "in-districts": "{count} 个区县",
    "per-seat": "每个名额 {ratio} 人等候",
    "no-seats": "目前没有空缺",
    recent: "近 {minutes} 分钟 +{count}",
    "slowest": "95% 分位，最慢：{district}",
    "no-speed": "还没有派单",
    districts: "各区县实况",
    "districts-aside": "签到到派单：圆点为中位数，横条至 95% 分位，竖线为 3 秒目标",
    district: "区县",
    "short-waiting": "等候",
    "short-seats": "在招",
    "short-offers": "待答复",
    "short-placements": "已落实",
    trend: "近 5 分钟",
    p50: "中位",
    p95: "95%",
    events: "市场动态",
    "events-wait": "等待第一条动态…",
    "events-away": "消息总线未连接，正在重试",
    "events-lost": "动态中断，正在重连",
    "events-skipped": "更新太快，略过 {count} 条",
    "events-held": "已暂停，{count} 条新动态",
    "events-open": "点击一条看它的全程",
    journey: "一次用工的全程",
    "journey-latest": "回到最新一次",
    "journey-wait": "还没有一次从网关走到通知的完整过程。",
    "journey-gone": "这次过程的记录已经不在了。",
    "journey-aside": "{time} · {services} 个服务 · {spans} 步 · 共 {took}",
    "journey-wait-time": "等待 {time}",
    about: "数据为各服务事件的实时汇总，不含任何个人信息。时间为北京时间。",
    docs: "事件目录与接口文档",
    device: "本机消息提醒",
    "device-aside": "有新邀约、录用和工资消息时，直接显示在这台设备上。",
    "device-role": "我是",
    "device-worker": "求职者",
    "device-employer": "用人单位",
    "device-phone": "手机号",
    "device-ask": "获取验证码",
    "device-digits": "短信验证码",
    "device-on": "在本机接收消息",
    "device-off": "停止在本机接收",
    "device-is-asking": "正在查看本机状态…",
    "device-is-off": "本机尚未接收消息。用手机号登录一次即可开启，随时可停。",
    "device-is-code": "验证码已发送，请查看短信。",
    "device-is-on": "本机会收到消息。",
    "device-is-denied": "浏览器不允许本站显示通知。请在浏览器的网站设置中允许“通知”，然后刷新本页。消息仍会发到您的其他联系方式和消息列表。",
    "device-is-unsupported": "这个浏览器不支持消息推送，或本页不是通过 https 打开的。消息仍会发到您的其他联系方式和消息列表。",
    "device-is-failed": "没有成功：{why} 可以再试一次。",
    failed: "失败",
    "service-gateway": "网关", "service-identity": "身份", "service-posting": "岗位", "service-workers": "登记",
    "service-matching": "匹配", "service-rights": "权益", "service-notify": "通知",
    units: { hour: "时", day: "天", piece: "件" },
    reasons: {
      time: "超时", filled: "已招满", closed: "岗位已关闭", gone: "求职者已离开", busy: "时间冲突", employer: "用人单位",
      expired: "到期", suspended: "单位被暂停", worker: "本人", replaced: "重新签到", placed: "已有安排", market: "市场",
    },
    channels: { stream: "站内", sms: "短信", voice: "语音电话", email: "邮件", push: "浏览器推送", wechat: "微信", webhook: "Webhook", wecom: "企业微信群", app: "站内", "in-app": "站内" },
  },
  en: {
    name: "Kuaizhao",
    tagline: "The public gig market, live",
    skip: "Skip to the districts",
    "other-language": "中文",
    "other-language-label": "切换到中文",
    theme: { auto: "Auto", light: "Light", dark: "Dark" },
    "theme-label": "Colours: {theme}",
    connecting: "Connecting…",
    live: "Live · updated {age} ago",
    stale: "No data for {age}",
    away: "The board cannot be read ({why}), trying again",
    "no-answer": "no answer",
    waiting: "Waiting workers",
    seats: "Open seats",
    offers: "Offers out",
    placements: "Placements",
    speed: "Check-in to offer",
    "in-districts": "in {count} districts",
    "per-seat": "{ratio} waiting per seat",
    "no-seats": "no seat open now",
    recent: "+{count} in {minutes} min",
    "slowest": "95th percentile, slowest: {district}",
    "no-speed": "no offer yet",
    districts: "Districts",
    "districts-aside": "Check-in to offer: dot at the median, bar to the 95th percentile, line at the 3 s goal",
    district: "District",
    "short-waiting": "Waiting",
    "short-seats": "Seats",
    "short-offers": "Offers",
    "short-placements": "Placed",
    trend: "5 min",
    p50: "p50",
    p95: "p95",
    events: "Latest events",
    "events-wait": "Waiting for the first event…",
    "events-away": "The event bus is not connected, trying again",
    "events-lost": "The stream broke off, connecting again",
    "events-skipped": "Too fast to show: {count} left out",
    "events-held": "Held, {count} new",
    "events-open": "Choose one to see its journey",
    journey: "One journey, end to end",
    "journey-latest": "Back to the latest",
    "journey-wait": "No journey has yet gone all the way from the gateway to the notice.",
    "journey-gone": "The record of this journey is no longer kept.",
    "journey-aside": "{time} · {services} services · {spans} spans · {took} in all",
    "journey-wait-time": "{time} wait",
    about: "Figures are counted live from the services' events and hold no personal data. Times are Beijing time.",
    docs: "Event catalogue and API",
    device: "Messages on this device",
    "device-aside": "New offers, jobs and pay, shown on this device as they come.",
    "device-role": "I am",
    "device-worker": "a worker",
    "device-employer": "an employer",
    "device-phone": "Phone",
    "device-ask": "Send me a code",
    "device-digits": "Code from the SMS",
    "device-on": "Show messages on this device",
    "device-off": "Stop on this device",
    "device-is-asking": "Looking at this device…",
    "device-is-off": "Messages are not shown on this device. Sign in by phone once to have them here; stop at any time.",
    "device-is-code": "The code is on its way by SMS.",
    "device-is-on": "Messages are shown on this device.",
    "device-is-denied": "The browser does not let this site show notifications. Allow “notifications” in the browser's settings of this site, then load the page again. Messages still reach your other contact points and your list of messages.",
    "device-is-unsupported": "This browser cannot take pushed messages, or the page was not opened by https. Messages still reach your other contact points and your list of messages.",
    "device-is-failed": "That did not work: {why} You can try again.",
    failed: "failed",
    "service-gateway": "gateway", "service-identity": "identity", "service-posting": "posting", "service-workers": "workers",
    "service-matching": "matching", "service-rights": "rights", "service-notify": "notify",
    units: { hour: "h", day: "day", piece: "piece" },
    reasons: {
      time: "out of time", filled: "filled", closed: "gig closed", gone: "worker left", busy: "time clash", employer: "by the employer",
      expired: "expired", suspended: "employer suspended", worker: "by the worker", replaced: "checked in again", placed: "placed",
      market: "by the market",
    },
    channels: { stream: "in-app", sms: "SMS", voice: "call", email: "e-mail", push: "web push", wechat: "WeChat", webhook: "webhook", wecom: "WeCom group", app: "in-app", "in-app": "in-app" },
  },
};

// Each kind of event as [what happened, then what the summary adds]; a kind that is not here shows its wire name.
const EVENTS = {
  "posting.gig-posted": { zh: "新岗位", en: "New gig", with: ["gig", "headcount", "pay"] },
  "posting.gig-amended": { zh: "岗位变更", en: "Gig changed", with: ["gig", "headcount", "pay"] },
  "posting.gig-filled": { zh: "岗位招满", en: "Gig filled", with: ["placed"] },
  "posting.gig-reopened": { zh: "名额重开", en: "Seats open again", with: [] },
  "posting.gig-closed": { zh: "岗位关闭", en: "Gig closed", with: ["reason"] },
  "posting.employer-verified": { zh: "用人单位通过核验", en: "Employer verified", with: [] },
  "posting.employer-suspended": { zh: "用人单位暂停发布", en: "Employer suspended", with: [] },
  "workers.worker-registered": { zh: "新登记求职者", en: "Worker registered", with: [] },
  "workers.worker-changed": { zh: "求职者更新意愿", en: "Worker's wishes changed", with: [], quiet: true },
  "workers.worker-checked-in": { zh: "求职者签到候工", en: "Worker checked in", with: [] },
  "workers.worker-checked-out": { zh: "求职者离开候工", en: "Worker checked out", with: ["reason"], quiet: true },
  "matching.offer-made": { zh: "派单", en: "Offer made", with: ["gig", "pay"] },
  "matching.offer-declined": { zh: "派单被谢绝", en: "Offer declined", with: [], quiet: true },
  "matching.offer-expired": { zh: "派单失效", en: "Offer ended", with: ["reason"], quiet: true },
  "matching.placement-made": { zh: "落实用工", en: "Placement made", with: ["gig", "pay"], strong: true },
  "matching.placement-cancelled": { zh: "安排取消", en: "Placement cancelled", with: ["by"] },
  "matching.attendance-asked": { zh: "请确认到岗", en: "Asked to confirm a shift", with: [], quiet: true },
  "matching.attendance-confirmed": { zh: "确认到岗", en: "Shift confirmed", with: [] },
  "matching.excuse-decided": { zh: "取消理由核定", en: "Excuse decided", with: [], quiet: true },
  "rights.agreement-made": { zh: "协议留存，登记投保", en: "Agreement made, entered for insurance", with: [] },
  "rights.rating-published": { zh: "双方互评", en: "Ratings published", with: [] },
  "rights.cover-confirmed": { zh: "保险生效", en: "Insurance in place", with: [] },
  "rights.cover-refused": { zh: "保险被拒", en: "Insurance refused", with: [] },
  "rights.shift-started": { zh: "开始上岗", en: "Shift started", with: [] },
  "rights.shift-missed": { zh: "未到岗，另行安排", en: "Shift missed, seat offered again", with: [] },
  "rights.shift-ended": { zh: "完成上岗", en: "Shift ended", with: ["minutes"] },
  "rights.timesheet-approved": { zh: "工时确认", en: "Hours approved", with: ["minutes"], quiet: true },
  "rights.timesheet-disputed": { zh: "工时有异议", en: "Hours disputed", with: ["minutes"] },
  "rights.timesheet-settled": { zh: "工时确定", en: "Hours settled", with: ["minutes"] },
  "rights.pay-due": { zh: "应付工资", en: "Pay due", with: ["amount"] },
  "rights.pay-corrected": { zh: "工资更正", en: "Pay corrected", with: ["amount"] },
  "rights.pay-confirmed": { zh: "工资到账确认", en: "Pay confirmed", with: ["amount"] },
  "rights.pay-overdue": { zh: "工资逾期", en: "Pay overdue", with: ["amount"] },
  "notify.delivery-made": { zh: "通知送达", en: "Notice delivered", with: ["channel"], quiet: true },
  "notify.delivery-failed": { zh: "通知未送达", en: "Notice not delivered", with: ["channel"] },
  "notify.alert-raised": { zh: "安全提醒", en: "Alert raised", with: [] },
  "notify.notice-posted": { zh: "驿站通知", en: "Station notice", with: [] },
};

const SERVICES = ["gateway", "identity", "posting", "workers", "matching", "rights", "notify"];

/** A text of the page, with {names} filled in. */
export function say(key, facts = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => facts[name]);
}

/** A word of a table, such as a unit, or the word itself where the table does not know it. */
export const word = (table, key) => WORDS[language][table][key] ?? key;

/** Milliseconds as people say them: 812 ms, 1.65 s, 2 min 5 s. */
export function took(ms) {
  if (ms === 0) return "0";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** A time to offer, always in seconds, so that a column can be compared at a glance. */
export const seconds = (ms) => (ms / 1000).toFixed(ms < 9_950 ? 2 : 1);

/** How long ago, in whole seconds or minutes. */
export function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (language === "zh") return s < 120 ? `${s} 秒` : `${Math.round(s / 60)} 分钟`;
  return s < 120 ? `${s} s` : `${Math.round(s / 60)} min`;
}

const HOURS = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Shanghai", hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const timeOfDay = (moment) => (Number.isNaN(moment.getTime()) ? "" : HOURS.format(moment));

const pay = (p) => `${money(p.amount_fen)}/${word("units", p.unit)}`;

export const serviceClass = (service) => `svc-${SERVICES.includes(service) ? service : "other"}`;
export const serviceName = (service) => (SERVICES.includes(service) ? say(`service-${service}`) : service);

const DETAILS = {
  gig: (s) => (language === "en" ? names.occupations[s.occupation]?.en : s.title) ?? names.occupations[s.occupation]?.[language] ?? s.title,
  headcount: (s) => s.headcount && (language === "zh" ? `${s.headcount} 人` : `${s.headcount} ${s.headcount === 1 ? "seat" : "seats"}`),
  pay: (s) => s.pay && pay(s.pay),
  placed: (s) => s.placed && (language === "zh" ? `${s.placed} 人` : `${s.placed} placed`),
  reason: (s) => s.reason && word("reasons", s.reason),
  by: (s) => s.by && word("reasons", s.by),
  minutes: (s) => Number.isFinite(s.minutes) && (language === "zh" ? `${s.minutes} 分钟` : `${s.minutes} min`),
  amount: (s) => Number.isFinite(s.amount_fen) && money(s.amount_fen),
  channel: (s) => s.channel && word("channels", s.channel),
};

/** An event in words: {title, details, quiet, strong}. */
export function tell(event) {
  const kind = EVENTS[event.type.replace(/\.v\d+$/, "")];
  if (!kind) return { title: event.type, details: "", quiet: true, strong: false };
  const details = kind.with.map((name) => DETAILS[name](event.summary)).filter(Boolean);
  return { title: kind[language], details: details.join(" · "), quiet: !!kind.quiet, strong: !!kind.strong };
}
