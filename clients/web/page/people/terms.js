// How a gig is shown: its card in a list, and all of its terms.

import { districtName, language, money, names } from "../locale.js";
import { label } from "./labels.js";
import { badge, distance, duration, el, rows, span, t } from "./ui.js";

export const tradeName = (code) => names.occupations[code]?.[language] ?? code;

/** Trades as the options of a field, and what one is skilled in by the trade that it belongs to. */
export const trades = () => Object.entries(names.occupations).map(([code, trade]) => [code, trade[language]]);
export const skills = () => Object.values(names.occupations).map((trade) => [trade.skill, trade[language]]);
const skillName = (code) => Object.values(names.occupations).find((trade) => trade.skill === code)?.[language] ?? code;
export const districts = () => [...names.districts.values()].map((district) => [district.code, t(`${district.en} (${district.area.en})`, `${district.zh}（${district.area.zh}）`)]);

export const payOf = (pay) => `${money(pay.amount_fen)}/${label("unit", pay.unit)}`;
const minutesOf = ({ start, end }) => Math.round((new Date(end) - new Date(start)) / 60_000);

/** What a shift earns in all, where that does not hang on pieces. */
const inAll = (terms) => (terms.pay.unit === "hour" ? t(`about ${money(Math.round((terms.pay.amount_fen * minutesOf(terms.period)) / 60))} in all`, `约合 ${money(Math.round((terms.pay.amount_fen * minutesOf(terms.period)) / 60))}`) : "");

export function facilities(terms) {
  return [
    terms.meals && badge(t("Meals", "包餐"), "good"),
    terms.lodging && badge(t("Lodging", "住宿"), "good"),
    terms.night_work && badge(t("Night work", "夜班"), "warn"),
    terms.crew && badge(t(`Crew of at least ${terms.crew.least}`, `至少 ${terms.crew.least} 人同组`)),
    badge(label("hiring", terms.hiring ?? "instant")),
    badge(label("mode", terms.pay.mode)),
  ].filter(Boolean);
}

/** A gig in a list. `to`: the view that it opens; `foot`: what is below it. */
export function gigCard(terms, { to, district, distance_m, foot = [] } = {}) {
  const title = el("h2", {}, to ? el("a", { href: `#${to}`, class: "stretch" }, terms.title) : terms.title);
  return el("article", { class: "card gig" },
    el("div", { class: "top" }, title, el("p", { class: "pay" }, payOf(terms.pay))),
    el("p", { class: "when" }, span(terms.period), el("span", { class: "soft" }, ` · ${duration(minutesOf(terms.period))}`)),
    el("p", { class: "soft" }, [district && districtName(district), terms.place.address, distance_m != null && distance(distance_m)].filter(Boolean).join(" · ")),
    el("p", { class: "badges" }, ...facilities(terms)),
    ...foot);
}

/** All that a gig says of itself. */
export function gigTerms(terms, district) {
  return el("div", {},
    el("p", { class: "pay large" }, payOf(terms.pay), el("small", {}, ` ${label("mode", terms.pay.mode)} ${inAll(terms)}`)),
    el("p", { class: "badges" }, ...facilities(terms)),
    rows([
      [t("When", "时间"), `${span(terms.period)} · ${duration(minutesOf(terms.period))}`],
      [t("Where", "地点"), el("span", {}, `${district ? `${districtName(district)} · ` : ""}${terms.place.address} `, el("a", { href: `geo:${terms.place.lat},${terms.place.lon}?q=${terms.place.lat},${terms.place.lon}` }, t("Map", "地图")))],
      [t("Employer", "用工单位"), terms.employer_name],
      [t("Trade", "工种"), tradeName(terms.occupation)],
      [t("What to do", "工作内容"), terms.content],
      [t("Skills", "技能"), terms.skills?.map(skillName).join(t(", ", "、"))],
      [t("Certificates", "证书"), terms.certificates?.map((code) => label("certificate", code)).join(t(", ", "、"))],
      [t("Hazards", "危险因素"), terms.hazards?.map((code) => label("hazard", code)).join(t(", ", "、"))],
    ]));
}

/** Why something stands where it does, as short phrases. */
export const reasonsOf = (reasons) => reasons.map(({ code, value }) => ({
  "distance-m": () => t(`${distance(value)} away`, `距您 ${distance(value)}`),
  "pay-fen-per-hour": () => t(`${money(value)} an hour`, `每小时 ${money(value)}`),
  fit: () => t(`fits your skills ${Math.round(value * 100)} %`, `技能匹配 ${Math.round(value * 100)}%`),
}[code]?.() ?? null)).filter(Boolean).join(" · ");
