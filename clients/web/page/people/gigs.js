// An employer's gigs: to post, with how many would fit before it, to change and to close.

import { language } from "../locale.js";
import { find, get, patch, post } from "./api.js";
import { choices, label } from "./labels.js";
import { placedPart } from "./people.js";
import { again, go } from "./shell.js";
import { districts, gigCard, gigTerms, skills, trades } from "./terms.js";
import { badge, button, el, empty, field, form, heading, link, note, paged, rows, section, showFaults, stations, sureButton, t, tell, to, toLocal, valuesOf, when, whereAmI } from "./ui.js";

export async function gigsView() {
  const ours = await find("posting/employers/me");
  if (ours?.status !== "verified") return [heading(t("Gigs", "岗位")), section("", el("p", {}, ours ? label("employer", ours.status) : t("Register your business first.", "请先登记单位。")), link("/me", t("Our business", "我们单位"), "press primary"))];
  const reviews = (await get("posting/employers/me/reviews")).items.filter((one) => one.status === "waiting" || one.status === "refused");
  const draw = (gig) => gigCard(gig, { to: `/gig/${gig.gig_id}`, district: gig.district, foot: [el("p", {}, badge(label("gig", gig.status), gig.status === "open" ? "good" : ""), ` ${t(`${gig.placed} of ${gig.headcount} placed`, `已录用 ${gig.placed} / ${gig.headcount} 人`)}`)] });
  return [
    heading(t("Gigs", "岗位"), link("/post", t("Post a gig", "发布岗位"), "press primary")),
    ...reviews.map(reviewPart),
    await paged("posting/employers/me/gigs", {}, draw, empty(t("Nothing posted yet.", "还没有发布岗位。"))),
  ];
}
gigsView.live = ["placement-made", "placement-cancelled", "review-decided", "employer-verified", "gig-filled", "gig-closed"];

function reviewPart(one) {
  return section(one.terms.title,
    el("p", {}, badge(label("review", one.status), one.status === "refused" ? "bad" : "warn"), " ", one.reason ?? ""),
    el("ul", {}, ...one.findings.map((each) => el("li", {}, `${label("finding", each.kind)}: `, el("mark", {}, each.words)))),
    one.status === "waiting" ? button(t("Take it back", "撤回"), async () => { await post(`posting/reviews/${one.review_id}/withdraw`); again(); })
      : one.round < 2 ? form([field({ name: "text", label: t("Why it breaks no rule", "申诉理由"), type: "area", required: true, minLength: 4, maxLength: 500 })], t("Have another clerk look", "申诉"), async (values) => { await post(`posting/reviews/${one.review_id}/appeal`, values); again(); }) : "");
}

export async function gigView([id]) {
  const gig = await get(`posting/gigs/${id}`);
  const open = gig.status !== "closed";
  return [
    heading(gig.title, badge(label("gig", gig.status), gig.status === "open" ? "good" : ""), gig.closed_reason ? badge(label("closed", gig.closed_reason)) : ""),
    el("p", { class: "acts" }, gig.placed ? link(`/site/${id}`, t("Show the check-in code", "显示签到码"), "press primary") : "", open ? link(to("/post", { gig: id }), t("Change", "修改"), "press") : "", link(to("/post", { like: id }), t("Post one like it", "再发一个"), "press")),
    section("", gigTerms(gig, gig.district), rows([[t("Placed", "已录用"), t(`${gig.placed} of ${gig.headcount}`, `${gig.placed} / ${gig.headcount} 人`)], [t("Valid until", "有效期至"), when(gig.valid_until)], [t("Code", "编号"), gig.origin]])),
    await placedPart(id),
    open ? el("p", { class: "acts" }, sureButton(t("Close this gig", "关闭岗位"), t("No more people are looked for. Who is placed stays.", "不再招人，已录用的不受影响。"), async () => { await post(`posting/gigs/${id}/close`); again(); })) : "",
  ];
}
gigView.live = ["placement-made", "placement-cancelled", "gig-filled", "shift-started", "shift-missed"];

// --- posting --------------------------------------------------------------------------------------------------------

const SHARED = ["occupation", "place", "period", "headcount", "pay", "skills", "certificates", "hazards", "meals", "lodging", "night_work"];

export async function postView(_, asked) {
  const [id, like] = [asked.get("gig"), asked.get("like")];
  const old = id || like ? await get(`posting/gigs/${id ?? like}`) : null;
  const [listed, ours] = await Promise.all([stations(), find("posting/employers/me")]);
  const time = (moment) => (id ? toLocal(moment) : "");
  const district = field({ name: "district", label: t("District", "区县"), type: "select", options: districts(), value: old?.district ?? ours?.district, disabled: !!id });
  const place = [
    field({ name: "place.address", label: t("Address", "详细地址"), required: true, value: old?.place.address }),
    field({ name: "place.lat", label: t("Latitude", "纬度"), type: "number", step: "any", required: true, value: old?.place.lat }),
    field({ name: "place.lon", label: t("Longitude", "经度"), type: "number", step: "any", required: true, value: old?.place.lon }),
  ];
  const near = el("select", { "aria-label": t("Put the place at a station", "以驿站为准"), onchange: (event) => { const at = listed.find((each) => each.id === event.target.value); if (at) put(at); } },
    el("option", { value: "" }, t("At a station…", "选驿站…")), ...listed.map((each) => el("option", { value: each.id }, each[language])));
  const put = ({ lat, lon }) => { place[1].input.value = lat.toFixed(5); place[2].input.value = lon.toFixed(5); };
  const start = field({ name: "period.start", label: t("Begins", "开始"), type: "datetime-local", required: true, value: time(old?.period.start) });
  const fields = [
    field({ name: "title", label: t("Title", "标题"), required: true, minLength: 2, maxLength: 60, value: old?.title }),
    field({ name: "occupation", label: t("Trade", "工种"), type: "select", options: trades(), value: old?.occupation }),
    district,
    ...place, { node: el("p", { class: "acts" }, button(t("Here, where this device is", "用当前位置"), async () => put(await whereAmI())), near) },
    start,
    field({ name: "period.end", label: t("Ends", "结束"), type: "datetime-local", required: true, value: time(old?.period.end) }),
    field({ name: "headcount", label: t("How many people", "招聘人数"), type: "number", min: 1, step: 1, required: true, value: old?.headcount ?? 1 }),
    field({ name: "pay.amount_fen", label: t("Pay (yuan)", "工资（元）"), type: "yuan", required: true, value: old?.pay.amount_fen }),
    field({ name: "pay.unit", label: t("per", "每"), type: "select", options: choices("unit"), value: old?.pay.unit }),
    field({ name: "pay.mode", label: t("Paid", "结算"), type: "select", options: choices("mode"), value: old?.pay.mode }),
    field({ name: "content", label: t("What to do", "工作内容"), type: "area", required: true, minLength: 4, maxLength: 2000, value: old?.content }),
    field({ name: "hiring", label: t("Who decides", "录用方式"), type: "radios", value: old?.hiring ?? "instant", options: choices("hiring") }),
    field({ name: "meals", label: t("Meals", "包餐"), type: "check", value: old?.meals }),
    field({ name: "lodging", label: t("Lodging", "提供住宿"), type: "check", value: old?.lodging }),
    field({ name: "night_work", label: t("Night work", "夜班"), type: "check", value: old?.night_work }),
    fold(t("Skills", "技能要求"), field({ name: "skills", label: t("Skills", "技能要求"), type: "checks", options: skills(), value: old?.skills })),
    fold(t("Certificates", "证书要求"), field({ name: "certificates", label: t("Certificates", "证书要求"), type: "checks", options: choices("certificate"), value: old?.certificates })),
    fold(t("Hazards", "危险因素"), field({ name: "hazards", label: t("Hazards", "危险因素"), type: "checks", options: choices("hazard"), value: old?.hazards })),
  ];
  const appeal = field({ name: "appeal", label: t("Why the words break no rule (a clerk looks then)", "申诉说明（由工作人员审核）"), type: "area", minLength: 4, maxLength: 500 });
  const own = fields.flatMap((each) => each.fields ?? each).filter((each) => each.read);
  const answer = el("div", { "aria-live": "polite" });
  const preview = button(t("How many would fit?", "有多少人合适？"), async () => {
    const { district: at, ...values } = valuesOf(own);
    try {
      const found = await post("matching/preview", { district: at ?? old.district, ...Object.fromEntries(SHARED.map((name) => [name, values[name]])) });
      answer.replaceChildren(fitPart(found));
    } catch (error) {
      showFaults(error, own, answer.appendChild(el("p", { class: "fault" })));
    }
  });
  const made = form([...fields, { node: el("details", {}, el("summary", {}, t("It was refused for its words?", "因用语被拒？")), appeal.node), fields: [appeal] }], id ? t("Change it", "保存修改") : t("Post it", "发布"), async (values) => {
    const { district: at, ...rest } = values;
    const terms = { ...rest, valid_until: values.period?.start };
    const done = await (id ? patch(`posting/gigs/${id}`, { ...terms, revision: old.revision }) : post("posting/gigs", { district: at, ...terms }));
    tell(done.review_id ? t("A clerk looks at it first.", "已提交，由工作人员审核。") : t("It is published.", "已发布。"));
    go(done.review_id ? "/gigs" : `/gig/${done.gig_id}`);
  }, preview);
  made.append(answer);
  return [heading(id ? t("Change the gig", "修改岗位") : t("Post a gig", "发布岗位")), note(t("Never ask a worker for money or documents, nor for sex, age or origin.", "不得向劳动者收费、扣押证件，不得限定性别、年龄、籍贯。")), made];
}

const fold = (title, inside) => ({ node: el("details", {}, el("summary", {}, title), inside.node), fields: [inside] });

function fitPart(found) {
  return section(t(`${found.fit} of ${found.waiting} people who wait now would fit`, `目前候工的 ${found.waiting} 人中有 ${found.fit} 人合适`),
    el("p", { class: "soft" }, t(`${found.free} of them are free.`, `其中 ${found.free} 人空闲。`)),
    Object.keys(found.kept).length ? el("ul", {}, ...Object.entries(found.kept).map(([rule, n]) => el("li", {}, t(`${n} ${label("kept", rule)}`, `${n} 人${label("kept", rule)}`)))) : "");
}
