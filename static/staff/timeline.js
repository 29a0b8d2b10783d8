// What stood in memory when: a lane for each model, drawn of its switches.

import { made } from "../words.js";

const BEGINS = { load: "turn", wake: "turn", sleep: "asleep" };
const LEAST = 60;
const MARGIN = 0.03;
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

// Of the switches of one model, in order: themselves, and what lies between them.
function spans(switches, now, standing) {
  const found = [];
  let open = null;
  for (const { kind, began, ended, why } of switches) {
    if (open) found.push({ ...open, ended: began });
    found.push({ kind, began, ended, why });
    open = !why && BEGINS[kind] ? { kind: BEGINS[kind], began: ended, why: "" } : null;
  }
  if (standing && !open && standing.began !== null) open = standing;
  if (open && standing) found.push({ ...open, ended: now });
  return found;
}

// What a model does now that no switch has ended yet.
function standing({ state, detail }, last, now) {
  if (state === "loading") {
    const seconds = Number(detail.match(/for (\d+) s/)?.[1] ?? 0);
    return { kind: "load", began: now - seconds, why: "" };
  }
  if (state === "unloaded" || state === "failed" || state === "closed" || state === "downloading") return null;
  return { kind: state === "sleeping" ? "asleep" : "turn", began: last?.ended ?? null, why: "" };
}

function words({ kind, began, ended, why }) {
  const took = ended - began;
  const long = took < 90 ? `${took.toFixed(1)} s` : `${Math.round(took / 60)} min`;
  return `${kind}, ${CLOCK.format(1000 * began)}, ${long}${why ? `, failed: ${why}` : ""}`;
}

function lane(all, since, now) {
  const element = made("div", "", "lane");
  for (const span of all) {
    if (span.ended < since) continue;
    const began = Math.max(since, span.began);
    const bar = made("span", "", span.why ? "span failed" : "span");
    bar.dataset.kind = span.kind;
    bar.title = words(span);
    bar.style.left = `${(100 * (began - since)) / (now - since)}%`;
    bar.style.width = `${(100 * (span.ended - began)) / (now - since)}%`;
    element.append(bar);
  }
  element.setAttribute("role", "img");
  element.ariaLabel = all.slice(-3).map(words).join("; ");
  return element;
}

// Draws into `element`; false where there was nothing in this time.
export function drawTimeline(element, { events, models, now }, seconds) {
  // A server that started ten minutes ago has no hour to show.
  const first = Math.min(now - LEAST, ...events.map(({ began }) => began));
  const since = Math.max(now - seconds, first - (now - first) * MARGIN);
  const known = new Map(models.map((model) => [model.id, model]));
  const own = Map.groupBy
    ? Map.groupBy(events, ({ model }) => model)
    : events.reduce((found, each) => found.set(each.model, [...(found.get(each.model) ?? []), each]), new Map());
  for (const { id, state } of models) if (state === "loading" && !own.has(id)) own.set(id, []);
  const lanes = [];
  for (const [id, switches] of own) {
    const model = known.get(id);
    const all = spans(switches, now, model ? standing(model, switches.at(-1), now) : null);
    if (!all.some(({ ended }) => ended >= since)) continue;
    const who = made("span", id, "who");
    who.title = id;
    lanes.push(who, lane(all, since, now));
  }
  const axis = made("div", "", "axis");
  for (const moment of [since, (since + now) / 2, now]) axis.append(made("span", CLOCK.format(1000 * moment)));
  element.replaceChildren(...lanes, ...(lanes.length ? [made("span"), axis] : []));
  return lanes.length > 0;
}
