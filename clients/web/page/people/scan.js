// Reading a work site's QR code by the camera, where the browser can (BarcodeDetector).

import { el, t } from "./ui.js";

export const canScan = () => "BarcodeDetector" in globalThis && !!navigator.mediaDevices?.getUserMedia;

/** What a site's QR code says: its gig and its code; null of any other. */
export function siteCode(text) {
  const [, query] = /^kuaizhao:check-in\?(.*)$/.exec(text) ?? [];
  const said = new URLSearchParams(query ?? "");
  return said.get("code") ? { gig_id: said.get("gig"), code: said.get("code") } : null;
}

/** Show the camera until it sees a site's code, or the person stops it: gives {gig_id, code} or null. */
export async function scan() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }).catch(() => {
    throw new Error(t("The camera cannot be used. Type the code that stands below the QR code.", "无法使用摄像头。请输入二维码下方的六位数字。"));
  });
  const video = el("video", { playsInline: true, muted: true, srcObject: stream });
  const stop = el("button", { type: "button" }, t("Stop", "取消"));
  const window_ = el("dialog", { class: "scan", "aria-label": t("Point the camera at the QR code", "将摄像头对准二维码") }, el("p", {}, t("Point the camera at the QR code of the work site.", "请将摄像头对准现场二维码。")), video, stop);
  document.body.append(window_);
  window_.showModal();
  try {
    await video.play();
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    let over = false;
    stop.addEventListener("click", () => { over = true; });
    window_.addEventListener("close", () => { over = true; });
    while (!over) {
      const seen = await detector.detect(video).catch(() => []);
      const found = seen.map((code) => siteCode(code.rawValue)).find(Boolean);
      if (found) return found;
      await new Promise((go) => setTimeout(go, 200));
    }
    return null;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    window_.remove();
  }
}
