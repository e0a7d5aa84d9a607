// Looking for gigs: all that are open, by filters; or those that fit, as they would be offered.

import { districtName, language } from "../locale.js";
import { find, get, me, post } from "./api.js";
import { go } from "./shell.js";
import { districts, gigCard, gigTerms, reasonsOf, trades } from "./terms.js";
import { badge, button, el, empty, field, form, heading, link, note, paged, rows, sentence, stations, t, to, toLocal, when, whereAmI } from "./ui.js";
import { label } from "./labels.js";

const CIRCLE_MINUTES = 15; // the region's circle of services: 3 km
const CIRCLE_M = 3_000;

let here = null; // where this device is, once it was asked

export async function searchView(_, asked) {
  const fits = asked.get("list") === "fits";
  const listed = await stations();
  const given = Object.fromEntries(asked);
  const near = given.near ?? "";
  const fields = [
    !fits && field({ name: "q", label: t("Words", "关键词"), type: "search", value: given.q, placeholder: t("e.g. parcel, kitchen", "如：分拣、帮厨"), maxLength: 60, enterKeyHint: "search" }),
    field({ name: "near", label: t(`Around (${CIRCLE_MINUTES} min, 3 km)`, `附近（${CIRCLE_MINUTES} 分钟 3 公里圈）`), type: "select", value: near, options: [
      ...(fits ? [] : [["", t("Anywhere", "不限")]]), ["me", t("Around me", "我的位置")], ["nearest", t("The station nearest to me", "离我最近的驿站")],
      ...listed.map((station) => [station.id, `${station[language]} · ${districtName(station.district)}`]),
    ] }),
  ].filter(Boolean);
  const more = [
    ...(fits ? [] : [
      field({ name: "occupation", label: t("Trade", "工种"), type: "select", value: given.occupation, options: [["", t("All", "全部")], ...trades()] }),
      field({ name: "district", label: t("District", "区县"), type: "select", value: given.district, options: [["", t("All", "全部")], ...districts()] }),
      field({ name: "min_fen_per_hour", label: t("At least, per hour (yuan)", "每小时不低于（元）"), type: "yuan", value: given.min_fen_per_hour }),
    ]),
    field({ name: "from", label: t("From", "最早开始"), type: "datetime-local", value: toLocal(given.from) }),
    field({ name: "to", label: t("Until", "最晚结束"), type: "datetime-local", value: toLocal(given.to) }),
    field({ name: "meals", label: t("With meals", "包餐"), type: "check", value: given.meals }),
    field({ name: "lodging", label: t("With lodging", "提供住宿"), type: "check", value: given.lodging }),
    field({ name: "no_night_work", label: t("No night work", "不上夜班"), type: "check", value: given.no_night_work }),
    ...(fits ? [] : [
      field({ name: "no_requirements", label: t("No skill or certificate asked for", "不要求技能和证书"), type: "check", value: given.no_requirements }),
      field({ name: "order", label: t("Order", "排序"), type: "select", value: given.order ?? "", options: [["", t("As fits", "自动")], ["newest", t("Newest first", "最新")], ["best-pay", t("Best pay first", "工资最高")], ...(near ? [["nearest", t("Nearest first", "最近")]] : [])] }),
    ]),
  ];
  const used = more.filter((each) => given[each.name]).length;
  const filters = el("details", { class: "filters", open: false }, el("summary", {}, t("Filters", "筛选"), used ? badge(String(used), "count") : ""), el("div", { class: "grid" }, ...more.map((each) => each.node)));
  const search = form([...fields, { node: filters, fields: more }], t("Search", "搜索"), (values) => go(to("/find", { list: given.list, ...values })));
  search.setAttribute("role", "search");
  return [
    heading(t("Find work", "找零工")),
    el("p", { class: "switcher" }, ...[["", t("All gigs", "全部岗位")], ["fits", t("What fits me", "适合我的")]].map(([list, text]) =>
      el("a", { href: list ? `#/find?list=${list}&near=me` : "#/find", ...((fits ? "fits" : "") === list ? { "aria-current": "true" } : {}) }, text))),
    search,
    await (fits ? shortlist(given, listed) : gigs(given, listed)).catch((error) => el("p", { class: "fault", role: "alert" }, sentence(error))),
  ];
}

/** The point of a choice in `near`, with the station that it is of if it is one. */
async function pointOf(near, listed) {
  if (!near) return null;
  const station = listed.find((each) => each.id === near);
  if (station) return { lat: station.lat, lon: station.lon, station };
  here ??= await whereAmI();
  if (near !== "nearest") return here;
  const [nearest] = (await get("workers/stations", here)).items;
  return { lat: nearest.lat, lon: nearest.lon, station: nearest };
}

async function gigs({ near, list, ...filters }, listed) {
  const point = await pointOf(near, listed);
  const around = point ? { lat: point.lat, lon: point.lon, minutes: CIRCLE_MINUTES } : {};
  const draw = (gig) => gigCard(gig, { to: `/gig/${gig.gig_id}`, district: gig.district, distance_m: gig.distance_m, foot: [el("p", { class: "soft" }, t(`${gig.headcount - gig.placed} of ${gig.headcount} places free`, `还招 ${gig.headcount - gig.placed} 人，共 ${gig.headcount} 人`), ` · ${gig.employer_name}`)] });
  return el("div", {}, point?.station && note(t(`Around ${point.station.en}`, `${point.station.zh}附近`)),
    await paged("posting/gigs", { ...filters, ...around }, draw, empty(t("Nothing open fits. Take a filter away.", "没有符合条件的岗位，请放宽筛选。"))));
}

async function shortlist({ near, from, to: until, meals, lodging, no_night_work }, listed) {
  if (!me()) return note(t("Sign in to see what fits you.", "登录后可查看适合您的岗位。"));
  const profile = await find("workers/me");
  if (!profile) return el("p", {}, t("Register first. ", "请先登记。"), link("/register", t("Register", "登记")));
  const point = await pointOf(near || "me", listed);
  const codes = [...new Set([profile.district, point.station?.district].filter(Boolean))];
  const found = await post("matching/shortlist", {
    districts: codes, position: { lat: point.lat, lon: point.lon }, within_m: CIRCLE_M, limit: 50,
    start: from, end: until, meals: !!meals, lodging: !!lodging, no_night_work: !!no_night_work,
  });
  if (!found.items.length) return empty(t("Nothing within 3 km fits you now. Look at all gigs, or wait for work: you are told at once.", "3 公里内暂无适合您的岗位。可查看全部岗位，或签到候工，有合适岗位会立即通知您。"));
  return el("div", {},
    note(t(`${found.items.length} gigs of ${found.employers} employers, the best first. They are offered to people who wait for work.`, `${found.employers} 家单位的 ${found.items.length} 个岗位，按匹配度排序。签到候工后即可收到邀约。`)),
    el("ol", { class: "list" }, ...found.items.map((one) => el("li", {}, gigCard(one.terms, { to: `/gig/${one.gig_id}`, district: one.district, foot: [
      el("p", { class: "why" }, el("b", {}, t("Why: ", "匹配理由：")), reasonsOf(one.reasons)),
      el("p", { class: "soft" }, t(`${one.open_seats} places free`, `还招 ${one.open_seats} 人`)),
    ] })))));
}

// --- one gig --------------------------------------------------------------------------------------------------------

export async function gigView([id]) {
  const gig = await get(`posting/gigs/${id}`);
  const why = el("div", {});
  const rating = me() ? await find(`rights/ratings/of-employer/${gig.employer_id}`).catch(() => null) : null;
  return [
    heading(gig.title, badge(label("gig", gig.status), gig.status === "open" ? "good" : "")),
    el("section", { class: "card" }, gigTerms(gig, gig.district), rows([
      [t("Places", "名额"), t(`${gig.headcount - gig.placed} of ${gig.headcount} free`, `共 ${gig.headcount} 人，还招 ${gig.headcount - gig.placed} 人`)],
      [t("Employer's rating", "单位评分"), rating && (rating.average == null ? t("not enough ratings yet", "评价不足，暂无评分") : `${rating.average.toFixed(1)} / 5 (${rating.ratings})`)],
      [t("Posted by", "来源"), gig.origin],
      [t("Valid until", "有效期至"), when(gig.valid_until)],
    ])),
    me() ? el("section", { class: "card" },
      el("p", {}, t("This is offered to people who wait for work and whom it fits.", "岗位会派给正在候工且合适的人。")),
      el("p", { class: "acts" }, link("/wait", t("Wait for work", "签到候工"), "press primary"), button(t("Why was it (not) offered to me?", "为什么派给我／没派给我？"), async () => {
        const answer = await get(`matching/gigs/${id}/why`);
        why.replaceChildren(el("ul", {}, ...answer.because.map((one) => el("li", {}, one.text))));
      })), why) : el("p", {}, link("/offers", t("Sign in to get offers", "登录后接收邀约"), "press primary")),
  ];
}
