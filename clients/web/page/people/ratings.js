// Rating the other side of a shift that has ended, and what it said.

import { find, post } from "./api.js";
import { choices, label } from "./labels.js";
import { again } from "./shell.js";
import { el, field, form, note, section, t } from "./ui.js";

/** `side` is who rates: the worker the employer, or the employer the worker. */
export async function ratingPart(placement_id, side) {
  const found = await find(`rights/ratings/${placement_id}`);
  const [mine, theirs, table, path] = side === "worker"
    ? [found?.by_worker, found?.by_employer, "markEmployer", "of-employer"]
    : [found?.by_employer, found?.by_worker, "markWorker", "of-worker"];
  const stars = (mark) => `${"★".repeat(mark.points)}${"☆".repeat(5 - mark.points)}`;
  const shown = (mark, who, words) => el("p", {}, `${who}: `, el("span", { "aria-label": t(`${mark.points} of 5`, `${mark.points} 分，满分 5 分`), role: "img" }, stars(mark)), ` ${mark.codes.map((code) => label(words, code)).join(t(", ", "、"))} ${mark.text ?? ""}`);
  const title = side === "worker" ? t("How was it?", "评价本次用工") : t("How was the worker?", "评价劳动者");
  return section(title,
    mine ? shown(mine, t("You", "您"), table) : form([
      field({ name: "points", label: t("Points", "评分"), type: "radios", required: true, options: [5, 4, 3, 2, 1].map((n) => [String(n), "★".repeat(n)]) }),
      field({ name: "codes", label: t("What was so", "印象"), type: "checks", options: choices(table) }),
      field({ name: "text", label: t("In your words", "文字评价"), type: "area", maxLength: 500 }),
    ], t("Rate", "提交评价"), async ({ points, ...rest }) => { await post(`rights/ratings/${placement_id}/${path}`, { points: Number(points), ...rest }); again(); }),
    theirs ? shown(theirs, t("The other side", "对方"), side === "worker" ? "markWorker" : "markEmployer") : mine && !found.published_at ? note(t("Both are shown once both have rated, or after a week.", "双方都评价后或一周后同时公开。")) : "");
}
