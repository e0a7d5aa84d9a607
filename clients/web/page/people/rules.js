// The rules of a district: what holds now and why, and for operators to change, with a reason. Nothing is overwritten.

import { districtName, names } from "../locale.js";
import { get, put, rights } from "./api.js";
import { go } from "./shell.js";
import { districts } from "./terms.js";
import { el, empty, field, form, heading, note, section, t, tell, to, when } from "./ui.js";

const SERVICES = {
  posting: () => t("Posts", "岗位发布"), workers: () => t("Employment difficulty", "就业困难认定"), matching: () => t("Matching", "匹配与工时"),
  rights: () => t("Attendance and hours", "考勤与工时"), notify: () => t("Messages", "消息"),
};

/** The country, provinces, prefectures and districts that there are names for. */
function areas(district) {
  const wider = [["country", t("The whole country", "全国")], [district.slice(0, 2), `${t("Province", "省级")} ${district.slice(0, 2)}`], [district.slice(0, 4), names.districts.get(district)?.area[t("en", "zh")] ?? district.slice(0, 4)]];
  return [[district, districtName(district)], ...wider.reverse()];
}

export async function rulesView(_, asked) {
  const service = asked.get("service") ?? "posting";
  const district = asked.get("district") ?? districts()[0]?.[0] ?? "430102";
  const area = asked.get("area") ?? district;
  const choose = form([
    field({ name: "service", label: t("Rules on", "规则类别"), type: "select", value: service, options: Object.entries(SERVICES).map(([code, name]) => [code, name()]) }),
    field({ name: "district", label: t("In the district", "区县"), type: "select", value: district, options: districts() }),
  ], t("Show", "查看"), (values) => go(to("/rules", values)));
  const [{ rules }, versions] = await Promise.all([get(`${service}/rules`, { district }), get(`${service}/rules/${area}/versions`)]);
  const history = versions.items ?? versions;
  const picker = field({ name: "area", label: t("History of", "修改记录"), type: "select", value: area, options: areas(district) });
  picker.input.addEventListener("change", () => go(to("/rules", { service, district, area: picker.input.value })));
  return [
    heading(t("Rules", "规则")), choose,
    section(t("In force now", "现行规则"), note(rules.name), figures(rules)),
    section(t("History", "修改记录"), picker.node, history.length ? el("ol", { class: "steps" }, ...[...history].reverse().map(versionPart)) : empty(t("Never changed here: what is shipped holds.", "此处未作修改，按默认规则执行。"))),
    rights() === "operator" ? changePart(service, area, rules, history) : note(t("Operators change rules; the history says who and why.", "规则由运营人员修改，修改人和理由见记录。")),
  ];
}

/** Every figure by its path, such as hours.day_minutes. */
function flat(value, path = "") {
  if (value && typeof value === "object" && !Array.isArray(value)) return Object.entries(value).flatMap(([name, inner]) => flat(inner, path ? `${path}.${name}` : name));
  return [[path, value]];
}

const shown = (value) => (Array.isArray(value) || typeof value === "object" ? JSON.stringify(value) : String(value));

const figures = (rules) => el("table", { class: "numbers" }, el("tbody", {}, ...flat(rules).filter(([path]) => path !== "name").map(([path, value]) => el("tr", {}, el("th", { scope: "row" }, path), el("td", {}, shown(value))))));

const versionPart = (one) => el("li", {}, el("b", {}, t(`Version ${one.number}`, `版本 ${one.number}`)), t(` in force since ${when(one.since)}`, ` 自 ${when(one.since)} 生效`), el("p", {}, one.reason), el("p", { class: "soft" }, t(`by ${one.by}`, `修改人 ${one.by}`)), el("pre", {}, JSON.stringify(one.changes, null, 1)));

/** One figure is changed at a time; what was set before for the area stays. */
function changePart(service, area, rules, history) {
  const last = history.at(-1);
  const simple = flat(rules).filter(([path, value]) => path !== "name" && !(value && typeof value === "object"));
  return section(t(`Change for ${area}`, `修改（${area}）`), form([
    field({ name: "path", label: t("Which figure", "修改项"), type: "select", options: simple.map(([path, value]) => [path, `${path} = ${value}`]) }),
    field({ name: "value", label: t("To", "改为"), required: true }),
    field({ name: "since", label: t("From (now, if empty)", "生效时间（留空为立即）"), type: "datetime-local" }),
    field({ name: "why", label: t("Reason, which stays in the history", "理由（将保留在记录中）"), type: "area", rows: 2, required: true }),
  ], t("Change", "提交修改"), async ({ path, value, since, why }) => {
    const changes = structuredClone(last?.changes ?? {});
    const parts = path.split("."), name = parts.pop();
    const was = simple.find(([each]) => each === path)[1];
    parts.reduce((at, part) => (at[part] ??= {}), changes)[name] = { number: Number, boolean: (text) => text === "true" }[typeof was]?.(value) ?? value;
    await put(`${service}/rules/${area}`, { changes, replaces: last?.number ?? 0, since, reason: why });
    tell(t("In force, and in the history.", "已生效并记录。"));
    go(to("/rules", { service, district: area.length === 6 ? area : undefined, area }));
  }));
}
