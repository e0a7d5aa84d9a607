// What codes of the market are called. A code without a name here is shown as it is.

import { t } from "./ui.js";

const WORDS = {
  unit: { hour: ["hour", "小时"], day: ["day", "天"], piece: ["piece", "件"] },
  mode: { "same-day": ["paid the same day", "日结"], weekly: ["paid weekly", "周结"], monthly: ["paid monthly", "月结"] },
  hiring: { instant: ["Placed at once", "接受即录用"], confirm: ["Employer confirms", "需单位确认"] },
  gig: { open: ["Open", "招聘中"], filled: ["Full", "已招满"], closed: ["Closed", "已关闭"] },
  closed: { employer: ["closed by the employer", "单位关闭"], expired: ["expired", "已过期"], suspended: ["suspended", "已暂停"] },
  offer: { open: ["Answer now", "待答复"], accepted: ["Accepted", "已接受"], declined: ["Declined", "已谢绝"], expired: ["Over", "已失效"] },
  placement: {
    placed: ["Placed", "已录用"], "awaiting-confirmation": ["Employer has to confirm", "待单位确认"], held: ["Waiting for the rest of the crew", "等待同组人员"],
    cancelled: ["Cancelled", "已取消"], lapsed: ["Not confirmed in time", "未按时确认，已失效"],
  },
  shift: { planned: ["Not started", "未开工"], started: ["At work", "工作中"], ended: ["Ended", "已收工"], cancelled: ["Cancelled", "已取消"], missed: ["Nobody came", "未到岗"] },
  proof: { none: ["no proof", "无凭证"], code: ["site's code", "现场签到码"], geofence: ["position", "定位"], employer: ["employer's word", "单位确认"], override: ["vouched for", "人工确认"] },
  sheet: { open: ["Employer has to answer", "待单位答复"], disputed: ["Disputed", "有异议"], approved: ["Approved", "已确认"], settled: ["Settled", "已确定"] },
  disputed: { "came-late": ["came late", "迟到"], "left-early": ["left early", "早退"], "was-away": ["was away", "中途离岗"], "stayed-longer": ["stayed longer", "超时工作"], other: ["other", "其他"] },
  override: { "no-device": ["No phone", "无手机"], "device-fails": ["Phone does not work", "手机故障"], "no-signal": ["No signal", "无信号"], "wrong-place": ["Place on the map is wrong", "定位地点有误"], other: ["Other", "其他"] },
  pay: { due: ["Due", "应付"], paid: ["Paid, not confirmed", "已付，待确认"], contested: ["Said to be paid, not arrived", "称已付，未到账"], confirmed: ["Arrived", "已到账"] },
  owed: { work: ["for work", "工资"], cancellation: ["for a late cancellation", "临时取消补偿"] },
  insurance: { pending: ["Being arranged", "办理中"], active: ["Insured", "已生效"], refused: ["Refused", "被拒"], withdrawn: ["Withdrawn", "已撤销"] },
  agreement: { "in-force": ["In force", "有效"], void: ["Void", "已作废"] },
  case: { arrears: ["Pay did not arrive", "拖欠工资"], injury: ["I was hurt", "工伤"], "unsafe-place": ["Dangerous workplace", "工作场所不安全"], "fee-charged": ["They asked me for money", "被收取费用"], discrimination: ["I was treated unequally", "受到歧视"], other: ["Something else", "其他"] },
  caseState: {
    open: ["Received", "已受理登记"], accepted: ["Taken up", "已受理"], declined: ["Not taken up", "不予受理"], mediation: ["In mediation", "调解中"], settled: ["Settled", "已调解"],
    referred: ["Passed to an authority", "已转交"], "taken-up": ["An authority is at it", "主管机关办理中"], closed: ["Closed", "已结案"],
  },
  authority: { inspection: ["Labour inspection", "劳动监察"], arbitration: ["Arbitration", "劳动仲裁"] },
  outcome: { paid: ["paid", "已付清"], settled: ["settled", "已和解"], decided: ["decided", "已裁决"], unfounded: ["unfounded", "不成立"], withdrawn: ["withdrawn", "已撤回"], other: ["other", "其他"] },
  limit: {
    acceptance: ["The rights desk answers", "受理答复"], mediation: ["Mediation ends", "调解期限"], "inspection-acceptance": ["Labour inspection takes it up", "监察受理"],
    "inspection-decision": ["Labour inspection decides", "监察处理"], "arbitration-acceptance": ["Arbitration takes it up", "仲裁受理"], "arbitration-decision": ["Arbitration decides", "仲裁裁决"], "injury-recognition": ["Employer applies for recognition", "单位申请工伤认定"],
  },
  excuse: {
    illness: ["Illness", "生病"], "family-emergency": ["Family emergency", "家中急事"], "extreme-weather": ["Extreme weather", "极端天气"], "transport-breakdown": ["No transport", "交通中断"],
    "unsafe-place": ["Dangerous workplace", "工作场所不安全"], "employer-breach": ["Employer did not keep to it", "单位违约"], accident: ["Accident", "事故"], "power-failure": ["Power failure", "停电"], "public-order": ["Order of an authority", "政府要求"],
  },
  employer: { pending: ["A clerk is checking", "待核验"], verified: ["Verified", "已核验"], rejected: ["Refused", "未通过"], lapsed: ["Check has ended", "核验已到期"] },
  review: { waiting: ["A clerk looks at it", "待审核"], approved: ["Published", "已通过"], refused: ["Not published", "未通过"], withdrawn: ["Withdrawn", "已撤回"] },
  finding: {
    fee: ["asks the worker for a fee", "向求职者收费"], deposit: ["deposit or documents kept", "收押金或扣证件"], sex: ["by sex", "性别歧视"], age: ["by age", "年龄歧视"], origin: ["by origin", "地域或民族歧视"], looks: ["by health or looks", "健康或外貌歧视"],
    bait: ["bait pay", "虚假高薪"], illegal: ["illegal or a scam", "违法或诈骗"], contact: ["private contact", "私下联系方式"], minor: ["under age", "招用未成年人"], minimum: ["below the minimum wage", "低于最低工资"], vague: ["too vague", "内容含糊"], unclear: ["unclear", "无法判断"],
  },
  sanction: { block: ["No new posts", "禁止新发布"], suspend: ["Posts closed", "暂停全部岗位"] },
  appeal: { waiting: ["waits", "待处理"], upheld: ["upheld", "成立"], rejected: ["rejected", "不成立"], refused: ["refused", "不成立"] },
  alert: { safety: ["Safety", "安全提醒"], fraud: ["Fraud", "防骗提醒"] },
  channel: { sms: ["SMS", "短信"], voice: ["Phone call", "语音电话"], email: ["E-mail", "电子邮件"], webhook: ["Webhook", "Webhook"], wecom: ["WeCom group", "企业微信群"] },
  certificate: { "health-card": ["Health card", "健康证"], electrician: ["Electrician", "电工证"], welder: ["Welder", "焊工证"], "working-at-height": ["Work at height", "高处作业证"], refrigeration: ["Refrigeration", "制冷证"], forklift: ["Forklift", "叉车证"], crane: ["Crane", "起重机证"], boiler: ["Boiler", "锅炉证"] },
  hazard: {
    dust: ["Dust", "粉尘"], toxic: ["Toxic substances", "有毒物质"], height: ["Height", "高处"], "cold-water": ["Cold water", "冷水"], heat: ["Heat", "高温"], cold: ["Cold", "低温"], "heavy-labour": ["Heavy labour", "重体力"], mine: ["Mine", "矿山"], logging: ["Logging", "伐木"], radiation: ["Radiation", "辐射"],
    "fire-or-burns": ["Fire or burns", "易燃灼伤"], prospecting: ["Prospecting", "野外勘探"], "diving-or-altitude": ["Diving or altitude", "潜水或高原"], "heavy-loads": ["Heavy loads", "负重"], "vibrating-tools": ["Vibrating tools", "振动工具"], "forced-posture": ["Forced posture", "强迫体位"], boiler: ["Boiler", "锅炉"], "adult-venue": ["Adult venue", "娱乐场所"],
  },
  kept: {
    reach: ["find it too far away", "嫌距离太远"], circle: ["have not waited long enough for one so far away", "候工时间尚短，暂不派远处岗位"], way: ["cannot be there in time", "来不及到岗"], pay: ["ask for more pay", "期望工资更高"],
    tags: ["do not wish such work, or may not do it", "不愿或不能从事此类工作"], skills: ["lack a skill or certificate", "缺少技能或证书"], busy: ["are engaged then", "时间冲突"], hours: ["are at their limit of hours", "已达工时上限"], refused: ["are kept apart from you, or have declined", "已谢绝或互相屏蔽"],
  },
  markEmployer: {
    "as-described": ["As described", "与描述一致"], "paid-on-time": ["Paid on time", "按时付款"], safe: ["Safe", "安全"], fair: ["Fair", "公平"], "not-as-described": ["Not as described", "与描述不符"], "paid-late": ["Paid late", "拖延付款"], unsafe: ["Unsafe", "不安全"], unfair: ["Unfair", "不公平"],
  },
  markWorker: { punctual: ["Punctual", "准时"], skilled: ["Skilled", "熟练"], careful: ["Careful", "细心"], polite: ["Polite", "有礼貌"], late: ["Late", "迟到"], unskilled: ["Unskilled", "不熟练"], careless: ["Careless", "粗心"], rude: ["Rude", "无礼"] },
  kind: {
    "offer-made": ["Offers", "邀约"], "placement-made": ["Placements", "录用"], "placement-cancelled": ["Cancellations", "取消"], "attendance-asked": ["Will you come?", "到岗确认"], "excuse-decided": ["Excuses", "取消理由"], "agreement-made": ["Agreements", "协议"], "cover-refused": ["Insurance refused", "保险被拒"],
    "shift-missed": ["Missed shifts", "未到岗"], "timesheet-disputed": ["Disputed hours", "工时异议"], "pay-due": ["Pay due", "应付工资"], "pay-corrected": ["Pay corrected", "工资更正"], "pay-overdue": ["Pay overdue", "工资逾期"], "pay-contested": ["Pay not arrived", "工资未到账"],
    "case-opened": ["Case opened", "案件受理"], "case-closed": ["Case closed", "案件办结"], "sanction-set": ["Sanctions", "处理措施"], "sanction-lifted": ["Sanction lifted", "措施解除"], "review-decided": ["Reviews", "审核结果"], "employer-verified": ["Verification", "核验结果"], "employer-verification-ending": ["Verification ending", "核验将到期"],
    "employer-suspended": ["Suspension", "暂停"], "alert-raised": ["Alerts", "安全提醒"], "notice-posted": ["Station notices", "驿站通知"],
  },
};

export const label = (table, code) => (WORDS[table][code] ? t(...WORDS[table][code]) : code);

/** A table as the options of a field. */
export const choices = (table, codes = Object.keys(WORDS[table])) => codes.map((code) => [code, label(table, code)]);

export const WEEKDAYS = [["Mon", "周一"], ["Tue", "周二"], ["Wed", "周三"], ["Thu", "周四"], ["Fri", "周五"], ["Sat", "周六"], ["Sun", "周日"]];
