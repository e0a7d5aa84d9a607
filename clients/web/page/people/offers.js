// A worker's offers: to accept or decline while they stand.

import { post } from "./api.js";
import { label } from "./labels.js";
import { again, go } from "./shell.js";
import { gigCard, reasonsOf } from "./terms.js";
import { badge, button, countdown, el, empty, heading, link, note, paged, t, tell, when } from "./ui.js";

export async function offersView() {
  const none = el("div", {}, empty(t("No offers yet. Whoever waits for work is offered what fits.", "暂无邀约。签到候工后，合适的岗位会立即派给您。")), el("p", {}, link("/wait", t("Wait for work", "签到候工"), "press primary")));
  return [heading(t("Offers", "邀约")), await paged("matching/offers", {}, draw, none)];
}
offersView.live = ["offer-made", "offer-expired", "placement-made"];

function draw(offer) {
  const open = offer.state === "open";
  return gigCard(offer.terms, { to: `/gig/${offer.gig_id}`, district: offer.district, foot: [
    el("p", { class: "why" }, el("b", {}, t("Why: ", "匹配理由：")), reasonsOf(offer.reasons)),
    offer.arrive_by && el("p", { class: "warn" }, t(`The shift has begun: be there by ${when(offer.arrive_by)}.`, `该班次已开始，请在 ${when(offer.arrive_by)} 前到岗。`)),
    open
      ? el("div", { class: "acts" },
        el("p", { class: "left" }, t("Answer within ", "剩余 "), countdown(offer.expires_at, t("over", "已失效"))),
        button(t("Accept", "接受"), () => accept(offer), "primary"),
        button(t("Decline", "谢绝"), () => decline(offer)))
      : el("p", {}, badge(label("offer", offer.state), offer.state === "accepted" ? "good" : ""), offer.placement_id && " ", offer.placement_id && link(`/placement/${offer.placement_id}`, t("To my shift", "查看班次"))),
  ] });
}

async function accept(offer) {
  const placed = await post(`matching/offers/${offer.offer_id}/accept`);
  tell(label("placement", placed.status));
  go(`/placement/${placed.placement_id}`);
}

async function decline(offer) {
  await post(`matching/offers/${offer.offer_id}/decline`);
  tell(t("Declined. It is not offered to you again.", "已谢绝，不会再派给您。"));
  again();
}
