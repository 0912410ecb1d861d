"use strict";
(() => {
const words = JSON.parse(document.getElementById("words").textContent);
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const stats = data.stats, at = stats.images || [], names = data.task === "classify", pairs = data.task === "translate";
const maps = pairs && (data.data.labels || []).length > 0, alone = names || maps;  // a network without opponent
const changes = data.task === "change", attribute = data.conditions[0]?.name ?? "", asSet = data.config.settings || {};
const tasks = maps ? ["-maps", "-pairs", "-classify"] : pairs ? ["-pairs"] : names ? ["-classify"] : changes ? ["-change"] : [];

// ---- preferences of the reader, stored if the browser allows it (pages opened from a file may not store) ----
const remembered = (key, otherwise) => { try { return localStorage.getItem("zerosum." + key) || otherwise; } catch { return otherwise; } };
const remember = (key, value) => { try { localStorage.setItem("zerosum." + key, value); } catch { /* kept until the page is closed */ } };
let language = remembered("language", (navigator.language || "en").toLowerCase().startsWith("fr") ? "fr" : "en");
let theme = remembered("theme", "auto");

// ---- words and numbers ----
const say = (key, values = {}) => (words[key] || [key, key])[language === "fr" ? 1 : 0]
  .replace(/\{(\w+)\}/g, (_, name) => ({ attribute, ...values })[name] ?? "");
const has = key => key in words;
// Sentences written by Python, in the language of the page: English patterns, each with its French.
const sentences = words.sentences.map(([english, french]) => [new RegExp(english, "gu"), french]);
function told(text) {
  const said = String(text ?? "");
  if (language !== "fr") return said;
  const french = sentences.reduce((said, [english, french]) => said.replace(english, french), said);
  return french === said ? said : french.split(/(`[^`]*`)/).map((part, i) => i % 2 ? part : figures(part)).join("");
}
// Numbers in French notation (12,800 and 0.5); parts of names and of settings are unchanged.
const figures = text => text.replace(/(^|[\s(])(\d{1,3}(?:,\d{3})+)(?!\w|,\d)/gu, (_, before, digits) => before + digits.replaceAll(",", "\u202f"))
  .replace(/(^|[\s(])(-?\d+)\.(\d+)(?!\w|\.\w)/gu, "$1$2,$3");
const tongue = text => language === "fr" && told(text) !== String(text ?? "") ? null : "en";
// Words for the task of this run, if different from those for a generator.
const suited = (key, values) => say(key + (tasks.find(task => has(key + task)) || ""), values);
const whole = value => Math.round(value).toLocaleString(language);
const share = (value, digits = 0) => value.toLocaleString(language, { style: "percent", maximumFractionDigits: digits });
const hundredths = value => value.toLocaleString(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const short = value => value.toLocaleString(language, { notation: "compact", maximumFractionDigits: 1 });
function number(value) {
  if (value == null) return "–";
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(1).replace("-", "−");
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 3;
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
}
function duration(seconds) {
  const s = Math.round(seconds), h = Math.floor(s / 3600), m = Math.floor(s % 3600 / 60);
  return h ? `${h} h ${String(m).padStart(2, "0")} min` : m ? `${m} min ${String(s % 60).padStart(2, "0")} s` : `${s} s`;
}
// A level of growth is log2 of the side in pixels; its fraction is the share of the fade to the next size that is done.
function size(level) {
  const side = 2 ** Math.floor(level), faded = level % 1;
  return faded ? say("growing", { from: whole(side), to: whole(2 * side), share: share(faded) }) : say("grown", { n: whole(side) });
}
function moment(iso) {
  const time = new Date(iso);
  return isNaN(time) ? String(iso ?? "") : time.toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
}

// ---- building the page: text is always set as text ----
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child != null));
  return node;
}
const colour = name => getComputedStyle(root).getPropertyValue("--" + name).trim();
const section = (id, title, ...children) =>
  make("section", { id, "aria-labelledby": id + "-title" }, make("h2", { id: id + "-title" }, title), ...children);

// ---- state that survives a change of language: the sheet shown, and whether it plays ----
let frame = Math.max(0, data.frames.length - 1), playing = null, shown = null, plots = [];
const preloaded = data.frames.map(({ src }) => { const image = new Image(); image.src = src.uri; return image; });
const frameImages = () => data.frames.length ? data.frames[frame].images : null;

// A centred running mean, which does not lag.
function smooth(values) {
  const keep = 0.5 ** (1 / Math.max(1, at.length / 120));
  function pass(order) {
    const sums = [], weights = [];
    let sum = 0, weight = 0;
    for (const i of order) {
      sum = keep * sum + (values[i] ?? 0);
      weight = keep * weight + (values[i] == null ? 0 : 1);
      sums[i] = sum; weights[i] = weight;
    }
    return [sums, weights];
  }
  const order = values.map((_, i) => i), [before, weightBefore] = pass(order), [after, weightAfter] = pass(order.reverse());
  return values.map((value, i) => value == null ? null
    : (before[i] + after[i] - value) / (weightBefore[i] + weightAfter[i] - 1));
}
const smoothed = Object.fromEntries(Object.entries(stats).filter(([name]) => name !== "images")
  .map(([name, values]) => [name, ["growth/level", "augment/probability"].includes(name) ? values : smooth(values)]));  // these have no noise
const last = name => (smoothed[name] || []).findLast(value => value != null) ?? null;
function valueAt(name, images) {
  let found = null;
  const values = smoothed[name] || [];
  for (let i = 0; i < at.length && (at[i] <= images || found == null); i++) if (values[i] != null) found = values[i];
  return found;
}
if (stats["critic/real"] && stats["critic/fake"]) {
  stats.gap = at.map((_, i) => stats["critic/real"][i] == null || stats["critic/fake"][i] == null ? null
    : stats["critic/real"][i] - stats["critic/fake"][i]);
  smoothed.gap = smooth(stats.gap);
}

function header() {
  const budget = data.budget, goal = ["images", "steps", "minutes"].find(name => budget[name] != null);
  const done = goal && Math.min(1, { images: data.images, steps: data.step, minutes: data.seconds / 60 }[goal] / budget[goal]);
  const shape = data.data.shape || [], pace = recent("time/images_per_second"), wait = recent("time/data_wait");
  const classes = ((maps ? data.data.labels : pairs ? data.data.input?.labels : data.data.classes) || []).length;
  const facts = [
    [say("fact-images"), whole(data.images), data.data.count ? say("fact-epochs", { n: (data.images / data.data.count).toLocaleString(language, { maximumFractionDigits: 1 }) }) : ""],
    [say("fact-time"), duration(data.seconds), ""],
    [say("fact-speed"), pace == null ? "–" : whole(pace), wait == null ? "" : say("fact-wait", { share: share(wait, 1) })],
    [data.vectors ? say("fact-points") : suited("fact-set"), data.data.count ? whole(data.data.count) : "–",
      [data.vectors ? say("fact-dimensions", { n: shape[0] }) : shape.join(" × "), classes > 1 ? say("fact-classes", { n: classes }) : ""].filter(Boolean).join(" · ")],
    [say("fact-device"), data.device === "cpu" ? "CPU" : data.device || "–", data.precision],
  ];
  const themes = ["auto", "light", "dark"];
  return make("header", {},
    make("div", { class: "top" },
      make("span", { class: "mark" }, make("span", { class: "sign", "aria-hidden": "true" }, "0"), "zerosum"),
      make("span", { class: "choices" },
        make("button", { type: "button", id: "theme", title: say("theme-" + theme), "aria-label": say("theme-" + theme),
          onclick: () => { theme = themes[(themes.indexOf(theme) + 1) % 3]; remember("theme", theme); draw("theme"); } },
          { auto: "◐", light: "○", dark: "●" }[theme]),
        make("button", { type: "button", id: "language", lang: language === "fr" ? "en" : "fr", "aria-label": say("language-label"),
          onclick: () => { language = language === "fr" ? "en" : "fr"; remember("language", language); draw("language"); } },
          say("language")))),
    make("p", { class: "state " + data.state }, make("span", { class: "dot", "aria-hidden": "true" }), say("state-" + data.state),
      goal && done < 1 ? make("span", { class: "quiet" }, " · " + say("done-of", { share: share(done), goal: say("goal-" + goal, { n: budget[goal].toLocaleString(language, { maximumFractionDigits: 1 }) }) })) : null,
      data.state === "running" ? make("span", { class: "quiet" }, " · " + say("as-of", { time: moment(data.written) })) : null),
    make("h1", {}, make("span", {}, data.recipe), make("span", { class: "on" }, " " + say("on") + " "), make("span", { class: "source" }, data.source)),
    make("dl", { class: "facts" }, facts.map(([name, value, more]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value, more ? make("small", {}, more) : null)))));
}
function recent(name) {
  const values = (stats[name] || []).filter(value => value != null), tail = values.slice(-Math.max(1, values.length >> 2)).sort((a, b) => a - b);
  return tail.length ? tail[tail.length >> 1] : null;
}

// ---- the samples, and the discriminator's output at the same point ----
function samples() {
  if (!data.frames.length) return section("samples", suited("samples"), make("p", { class: "quiet" }, say("no-samples")));
  const { src } = data.frames[frame];
  const picture = make("img", { id: "sheet", width: src.width, height: src.height });
  const slider = make("input", { type: "range", id: "slider", min: 0, max: data.frames.length - 1, step: 1, value: frame,
    "aria-label": say("moment"), oninput: event => { stop(); show(+event.target.value); } });
  const figure = make("figure", { class: data.vectors || names || pairs ? "plot" : "" }, data.vectors ? null : make("figcaption", {}, swatch("fake"), suited("generated")), heads(changes), picture);
  const reals = data.reals && make("figure", { class: names ? "plot" : "" }, make("figcaption", {}, swatch("real"), suited("real")), heads(),
    make("img", { src: data.reals.uri, width: data.reals.width, height: data.reals.height, alt: say("alt-real") }));
  if (data.columns) for (const [node, sheet] of [[figure, src], [reals, data.reals]]) if (node) node.style.maxWidth = suitedWidth(sheet) + "px";
  const sheets = make("div", { class: "sheets" + (reals && !names ? " pair" : "") }, figure, reals || null);
  if (changes && data.columns) {  // images of one size in both sheets
    sheets.style.setProperty("--first", data.columns.values.length + 1 + "fr");
    sheets.style.setProperty("--second", data.columns.values.length + "fr");
  }
  return section("samples", suited("samples"),
    make("p", { class: "lead" }, data.vectors ? say("points-intro") : suited("samples-intro"), grows ? " " + say("growth-intro") : null),
    data.far ? make("p", { class: "far" }, say("far", { score: data.far.score, value: number(data.far.value), floor: number(data.far.floor) })) : null,
    make("div", { class: "player" },
      make("button", { type: "button", id: "play", class: "round", onclick: toggle, disabled: data.frames.length < 2 }),
      make("div", { class: "rail" }, slider, data.frames.length > 1 ? make("div", { class: "ends", "aria-hidden": "true" },
        make("span", {}, whole(data.frames[0].images)), make("span", {}, whole(data.frames.at(-1).images))) : null),
      make("output", { id: "when", class: grows ? "wide" : "", for: "slider", "aria-live": "polite" })),
    sheets,
    gauge(),
    data.frameCount > data.frames.length
      ? make("p", { class: "quiet small" }, say("thinned", { shown: data.frames.length, all: whole(data.frameCount) })) : null);
}
const grows = data.frames.some(({ level }) => level != null);
// A sheet of few columns is limited to the height of a square one.
const suitedWidth = ({ width, height }) => Math.round(640 * Math.min(1, width / height));
// The values of the columns of a sheet, above them, after the original if each row starts with it;
// vertical if they are too long.
function heads(own) {
  if (!data.columns) return null;
  const { name, values, count } = data.columns, shown = own ? [say("column-image"), ...values] : values;
  const letters = shown.length * Math.max(...shown.map(value => value.length));
  const caption = say(own ? "columns-own" : values.length < count ? "columns-first" : "columns", { name, shown: values.length, all: whole(count) });
  return make("div", { class: "heads" }, make("p", {}, caption),
    make("ol", { class: letters > 60 ? "upright" : letters > 40 ? "tight" : "" }, shown.map(value => make("li", {}, make("span", { title: value }, value)))));
}
const swatch = name => make("span", { class: "swatch " + name, "aria-hidden": "true" });

// Notation of the papers: pix2pix's discriminator also sees the input x, CAAE's the age a.
const belief = pairs ? { real: "D(x, y)", fake: "D(x, G(x))" } : changes ? { real: "D(x, a)", fake: "D(G(E(x), a), a)" } : { real: "D(x)", fake: "D(G(z))" };
function gauge() {
  if (stats["critic/real"]) return make("p", { class: "says", id: "says" });
  if (!stats["score/real"]) return null;
  return make("div", { class: "gauge" },
    make("h3", {}, suited("gauge")),
    make("div", { class: "scale", "aria-hidden": "true" },
      make("span", { class: "middle" }), make("span", { class: "lead-of", id: "lead-of" }),
      make("span", { class: "needle fake", id: "needle-fake" }, make("b", {}, belief.fake)),
      make("span", { class: "needle real", id: "needle-real" }, make("b", {}, belief.real))),
    make("div", { class: "ends", "aria-hidden": "true" }, make("span", {}, say("gauge-left")), make("span", {}, say("gauge-middle")), make("span", {}, say("gauge-right"))),
    make("p", { class: "says", id: "says" }));
}

function show(index) {
  frame = Math.max(0, Math.min(data.frames.length - 1, index));
  const { src, images, level } = data.frames[frame], picture = document.getElementById("sheet");
  const after = say("after", { n: whole(images) }), grown = level == null ? null : size(level);
  const together = words => [words, grown].filter(Boolean).join(", ");
  picture.src = src.uri;
  picture.alt = together(suited("alt-generated", { n: whole(images) }));
  const slider = document.getElementById("slider");
  slider.value = frame;
  slider.setAttribute("aria-valuetext", together(after));
  slider.style.setProperty("--done", data.frames.length > 1 ? frame / (data.frames.length - 1) : 1);
  document.getElementById("when").replaceChildren(after, ...(grown ? [make("small", {}, grown)] : []));
  const says = document.getElementById("says");
  if (says) {
    const critic = Boolean(stats["critic/real"]), kind = critic ? "critic/" : "score/";
    const real = valueAt(kind + "real", images), fake = valueAt(kind + "fake", images);
    if (real == null || fake == null) says.textContent = say("gauge-none");
    else if (critic) says.textContent = say("critic-says", { real: number(real), fake: number(fake), gap: number(real - fake) });
    else {
      says.textContent = say("gauge-says", { real: hundredths(real), fake: hundredths(fake) });
      for (const [side, value] of [["real", real], ["fake", fake]]) {
        const needle = document.getElementById("needle-" + side);
        needle.style.left = 100 * value + "%";
        needle.style.setProperty("--at", value);
      }
      const lead = document.getElementById("lead-of");
      lead.style.left = 100 * Math.min(real, fake) + "%";
      lead.style.width = 100 * Math.abs(real - fake) + "%";
    }
  }
  for (const plot of plots) plot.redraw(false);
}
function label() {
  const button = document.getElementById("play");
  if (!button) return;
  button.textContent = playing ? "❚❚" : "▶";
  button.setAttribute("aria-label", say(playing ? "pause" : "play"));
  document.getElementById("when").setAttribute("aria-live", playing ? "off" : "polite");
}
function stop() { clearInterval(playing); playing = null; label(); }
function toggle() {
  if (playing) return stop();
  if (frame === data.frames.length - 1) show(0);
  playing = setInterval(() => { show(frame + 1); if (frame === data.frames.length - 1) stop(); }, Math.max(120, Math.min(500, 8000 / data.frames.length)));
  label();
}
document.addEventListener("keydown", event => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || !data.frames.length || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input, textarea, pre, .scroll, .sideways, [contenteditable]")) return;  // which arrows move
  event.preventDefault();
  stop();
  show(frame + step);
});

// ---- small sets: memorisation ----
function copying() {
  if (!data.nearest) return null;
  const { uri, width, height } = data.nearest, likely = (stats["health/copying"] || []).findLast(value => value != null);
  const figure = make("figure", { class: "nearest" },
    make("figcaption", {}, swatch("fake"), say("copy-sample"), " ", swatch("real"), say("copy-image")),
    make("div", { class: "heads", "aria-hidden": "true" }, make("ol", {}, [..."ffffffff"].map((_, i) => make("li", {}, swatch(i % 2 ? "real" : "fake"))))),
    make("img", { src: uri, width, height, alt: say("alt-nearest") }));
  figure.style.maxWidth = Math.max(640, width) + "px";
  return section("copying", say("copying"), make("p", { class: "lead" }, say("copying-intro"),
    likely == null ? null : " " + say("copying-says", { likely: hundredths(likely) })), figure);
}

// ---- findings and warnings ----
function findings() {
  const chosen = data.chosen.map(text => make("article", { class: "finding chosen" }, make("h3", {}, say("chosen")), make("p", { lang: tongue(text) }, told(text))));
  const notes = data.dataNotes.length ? [make("article", { class: "finding data" }, make("h3", {}, say("data-notes")), make("ul", {}, ...data.dataNotes.map(text => make("li", { lang: tongue(text) }, told(text)))))] : [];
  const cards = data.findings.map(event => {
    const kind = ["diverged", "failed"].includes(event.kind) ? event.kind : event.finding || "warning";
    return make("article", { class: "finding " + (["diverged", "failed"].includes(event.kind) ? "bad" : "") },
      make("h3", {}, say(has("finding-" + kind) ? "finding-" + kind : "finding-warning"),
        event.images != null ? make("span", { class: "quiet" }, " " + say("after", { n: whole(event.images) })) : null),
      make("p", { lang: tongue(event.text) }, told(event.text)),
      event.advice ? make("p", { lang: tongue(event.advice) }, make("b", {}, say("try") + (language === "fr" ? "\u00a0: " : ": ")), told(event.advice)) : null);
  });
  return section("findings", say("findings"), ...chosen, ...notes, ...(cards.length ? cards : [make("p", { class: "fine" }, suited("findings-none"))]));
}

// ---- scores of zerosum evaluate ----
// Names used by Python, in the language of the reader if there is a translation.
function named(what, name) { const key = `${what}-${name.replaceAll(",", "").replaceAll(" ", "-")}`; return has(key) ? say(key) : name; }
// A score keeps its full name, with a description.
function meaning(name) {
  const words = "score-" + name.replace(/@.*/, "").replace(/^(fd|kid|copying)\d.*/, "$1");
  return has(words) ? say(words) : "";
}
const titled = name => make("span", {}, name, meaning(name) ? make("small", { class: "means" }, meaning(name)) : null);
const counted = new Set(["images", "pixels", "synthetic images"]);
function scores() {
  if (!data.evaluations.length) return null;
  const table = (heads, rows) => make("div", { class: "sideways", tabindex: 0 }, make("table", { class: "scores" },
    make("thead", {}, make("tr", {}, heads.map(head => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name), cells.map(cell => make("td", { class: "number" }, cell)))))));
  const one = evaluation => {
    const { scores, errors = {}, floor = {}, baselines = {}, made_by = {}, per_class, classes, per_value, pictures, warnings = [] } = evaluation;
    const beside = [...(Object.keys(floor).length ? [[say("floor"), floor]] : []), ...Object.entries(baselines).map(([name, values]) => [named("baseline", name), values])];
    const rows = Object.entries(scores).map(([name, value]) => [titled(name),
      number(value) + (errors[name] ? " ± " + number(errors[name]) : ""), ...beside.map(([, values]) => name in values ? number(values[name]) : "")]);
    const by = (each, words, head, open) => {
      const columns = Object.keys(Object.values(each)[0] || {});
      return make("details", { open }, make("summary", {}, say(words)), table([head, ...columns.map(column => named("column", column))],
        Object.entries(each).map(([name, row]) => [name, ...columns.map(column => counted.has(column) && row[column] != null ? whole(row[column]) : number(row[column]))])));
    };
    return make("article", { class: "evaluation" },
      make("h3", {}, say("after", { n: whole(evaluation.images) }), make("span", { class: "quiet" }, " · " + String(made_by.data ?? "").replace(/^\/.*\//, "") + (made_by.part ? ` (${made_by.part})` : ""))),
      warnings.map(text => make("p", { class: "caution", lang: tongue(text) }, told(text))),
      table([say("score"), say("value"), ...beside.map(([words]) => words)], rows),
      pictures.map(({ words, src }) => {
        const figure = make("figure", { class: "found" }, make("figcaption", {}, named("picture", words)), words === "values" ? heads(true) : null,
          make("img", { src: src.uri, width: src.width, height: src.height, alt: words }));
        if (words === "values") figure.style.maxWidth = Math.min(src.width, suitedWidth(src)) + "px";
        return figure;
      }),
      per_class ? by(per_class, "by-class", say("class"), data.task === "generate") : null,
      classes ? by(classes, "by-class", say("class"), false) : null,
      per_value ? by(per_value, "by-value", attribute, true) : null,
      make("details", {}, make("summary", {}, say("made-by")), tree(made_by)));
  };
  return section("scored", say("scores"), make("p", { class: "lead" }, suited("scores-intro")), ...data.evaluations.map(one));
}

// ---- the curves ----
function charts() {
  const taken = new Set(["images"]), list = [];
  const ln2 = Math.LN2, generatorKind = ["minimax", "non-saturating"].includes(data.loss) ? "-" + data.loss : "";
  function add(id, series, options = {}) {
    const found = series.filter(([name]) => stats[name] && stats[name].some(value => value != null));
    series.forEach(([name]) => taken.add(name));
    const others = list.filter(chart => chart.kind === id).length;  // an id stands once in a page
    if (found.length) list.push({ id: others ? `${id}-${others + 1}` : id, kind: id, series: found, title: suited("chart-" + id, options.words), read: suited("read-" + id), ...options });
  }
  add("accuracy", [["accuracy/training", say("in-training"), "fake"], ["eval/accuracy@validation", say("held-out"), "real"], ["eval/pixel_accuracy@validation", say("held-out"), "real"]], { percent: true });
  add("scores", [["score/real", belief.real, "real"], ["score/fake", belief.fake, "fake"]], { range: [0, 1], line: [0.5, "½"] });
  add("critic", [["critic/real", say("term-real"), "real"], ["critic/fake", say("term-fake"), "fake"]]);
  add("separation", [["logits/separation", say("chart-separation"), "judge"]], { line: [0, "0"] });
  add("scale", [["logits/scale", say("chart-scale"), "judge"]], { log: true });
  add("gap", [["gap", say("gap"), "judge"]], { line: [0, "0"] });
  add("halves", [["surprise/real", say("on-real", { d: belief.real }), "real"], ["surprise/fake", say("on-fake", { d: belief.fake }), "fake"], ["surprise/wrong-age", say("on-wrong"), "judge"]], { line: [ln2, "log 2"], floor: 0 });
  add("value", [["value", "V(D, G)", "judge"]], { line: [-2 * ln2, "−log 4"], range: [null, 0] });
  const players = {};
  for (const name of Object.keys(stats)) {
    const [, player, term] = name.match(/^loss\/([^/]+)\/(.+)$/) || [];
    if (player) (players[player] ||= []).push([name, has("term-" + term) ? say("term-" + term) : term]);
  }
  if (players.generator) {
    const tinted = terms => terms.map(([name, words], i) => [name, words, ["fake", "judge", "real", "ink"][i % 4]]);
    const asked = changes ? /\/(image|latent)$/ : pairs ? /\/adversarial$/ : /./, game = players.generator.filter(([name]) => asked.test(name));
    const unweighted = !changes && (asSet.adversarial_weight ?? 1) === 1 && !((asSet.discriminator || {}).scales > 1);
    add("generator", tinted(game), { read: changes ? say("read-generator-change", asSet.weights) : suited("read-generator" + generatorKind), line: unweighted ? { "-minimax": [-ln2, "−log 2"], "-non-saturating": [ln2, "log 2"] }[generatorKind] : undefined });
    add("likeness", tinted(players.generator.filter(term => !game.includes(term))), { floor: 0 });
    delete players.generator;
  }
  const latents = (kind, tints) => [[kind + "/prior", say("drawn-evenly"), tints[0]], [kind + "/latent", say("of-images"), tints[1]]];
  add("latent-scores", latents("score", ["real", "fake"]), { range: [0, 1], line: [0.5, "½"] });
  add("latent-critic", latents("critic", ["real", "fake"]));
  if (players["latent-discriminator"]) {
    const side = name => name.endsWith("/real") ? [say("drawn-evenly"), "real"] : name.endsWith("/fake") ? [say("of-images"), "fake"] : [name, "ink"];
    add("latent-loss", players["latent-discriminator"].map(([name]) => [name, ...side(name)]), generatorKind ? { line: [ln2, "log 2"], floor: 0 } : { read: say("read-losses") });
    delete players["latent-discriminator"];
  }
  add("saturation", [["latent/saturation", say("chart-saturation"), "judge"]], { line: [0.05, share(0.05)], floor: 0, percent: true });
  for (const [player, terms] of Object.entries(players))
    add("losses", terms.map(([name, words], i) => [name, words, name.endsWith("/real") ? "real" : name.endsWith("/fake") ? "fake" : ["judge", "ink"][i % 2]]), { words: { player }, ...(alone ? { read: say("read-cross-entropy"), floor: 0 } : {}) });
  add("diversity", [["health/diversity", say("chart-diversity"), "fake"]], { line: [1, "1"], floor: 0 });
  const classesOf = Object.keys(stats).filter(name => name.startsWith("health/diversity_within/"));
  const latest = name => stats[name].findLast(value => value != null) ?? Infinity;
  const worst = classesOf.reduce((low, name) => low && latest(low) <= latest(name) ? low : name, "");
  add("diversity-within", [["health/diversity_within", say("within-mean"), "fake"],
    ...(worst ? [[worst, say("within-worst", { name: worst.slice(24) }), "judge"]] : [])], { line: [1, "1"], floor: 0 });
  for (const name of [...classesOf, "eval/diversity_within"]) taken.add(name);  // at checkpoints: on the same curve
  add("copying", [["health/copying", say("chart-copying"), "fake"]], { line: [0.5, "½"], range: [0, 1] });
  const { differentiable, probability, target } = asSet.augment || {}, adaptive = probability === "adaptive" || (probability === "auto" && differentiable === "ada");
  add("augment", [["augment/probability", say("augment-probability"), "judge"], ["augment/overfitting", say("augment-overfitting"), "real"]],
    { floor: 0, ...(adaptive ? { line: [target, say("augment-target")] } : { read: say("read-augment-fixed") }) });
  add("growth", [["growth/level", say("growth-side"), "judge"]], { written: size, tick: level => whole(2 ** level), steps: [1, 2, 4], clean: true });
  const prefixed = prefix => Object.keys(stats).filter(name => name.startsWith(prefix));
  for (const name of prefixed("eval/")) if (stats[name].filter(value => value != null).length < 2) taken.add(name);  // no curve: it is in the table
  for (const name of prefixed("eval/").filter(name => !taken.has(name))) add("eval", [[name, name.slice(5), "judge"]],
    { words: { name: name.slice(5) }, read: [meaning(name.slice(5)), say("read-eval")].filter(Boolean).join(" "), ...(data.floors[name] != null ? { line: [data.floors[name], say("real-line")], floor: 0 } : {}) });
  add("gradients", prefixed("grad/").map((name, i) => [name, name.slice(5), name === "grad/generator" ? "fake" : name === "grad/discriminator" ? "judge" : ["real", "ink"][i % 2]]), { log: true });
  add("penalties", prefixed("penalty/").map((name, i) => [name, name.slice(8), ["judge", "real", "fake", "ink"][i % 4]]), { floor: 0 });
  add("speed", [["time/images_per_second", say("chart-speed"), "ink"]], { floor: 0 });
  add("wait", [["time/data_wait", say("chart-wait"), "ink"]], { range: [0, null], percent: true });
  add("other", Object.keys(stats).filter(name => !taken.has(name)).map((name, i) => [name, name, ["judge", "real", "fake", "ink"][i % 4]]));
  return list;
}

function curves() {
  const list = charts();
  if (!at.length || !list.length) return { node: section("curves", suited("curves"), make("p", { class: "quiet" }, say("no-curves"))), draw() {} };
  const holders = list.map(chart => {
    const values = chart.series.map(() => make("output", { "aria-live": "off" }));  // they follow the pointer
    const holder = make("div", { class: "canvas", role: "img", "aria-label": chart.series.map(([name, label]) => {
      const known = stats[name].filter(value => value != null);
      const written = chart.written || number;
      return say("chart-aria", { name: `${chart.title}, ${label}`, first: written(known[0]), last: written(last(name)),
        low: written(known.reduce((a, b) => Math.min(a, b))), high: written(known.reduce((a, b) => Math.max(a, b))) });
    }).join(" ") });
    const node = make("figure", { class: "chart", id: "chart-" + chart.id },
      make("h3", {}, chart.title), chart.read ? make("p", {}, chart.read) : null,
      make("div", { class: "legend" }, chart.series.map(([, label, tint], i) => make("span", {}, swatch(tint), label, " ", values[i]))), holder);
    return { chart, node, holder, values };
  });
  return {
    node: section("curves", suited("curves"), make("p", { class: "lead" }, say("curves-intro")), make("div", { class: "charts" }, holders.map(({ node }) => node))),
    draw: () => holders.map(plot),
  };
}

function plot({ chart, holder, values }) {
  const { series, line, range, floor, log } = chart;
  const written = value => value == null ? number(value) : chart.written ? chart.written(value) : chart.percent ? share(value, 1) : number(value);
  // Raw values under the running mean; a single line if there are too few values for noise.
  const quiet = chart.clean || series.every(([name]) => stats[name].filter(value => value != null).length < 60);
  const columns = [at], described = [{}];
  for (const [name, , tint] of series) {
    const points = log ? stats[name].map(value => value > 0 ? value : null) : stats[name];
    if (!quiet) { columns.push(points); described.push({ stroke: () => colour(tint + "-pale"), width: 1, points: { show: false }, spanGaps: true }); }
    columns.push(quiet ? points : smoothed[name].map(value => log && !(value > 0) ? null : value));
    described.push({ stroke: () => colour(tint), width: 2, points: { show: quiet && at.length < 40, size: 5, fill: () => colour(tint) }, spanGaps: true });
  }
  // The axis contains the running mean, all but 1 % of the raw values, and the theoretical line.
  function limits() {
    const means = series.flatMap(([name]) => smoothed[name]).filter(value => value != null && (!log || value > 0));
    const raw = series.flatMap(([name]) => stats[name]).filter(value => value != null && (!log || value > 0)).sort((a, b) => a - b);
    const edge = part => raw[Math.min(raw.length - 1, Math.max(0, Math.round(part * (raw.length - 1))))];
    let low = Math.min(edge(0.01), ...extent(means)), high = Math.max(edge(0.99), ...extent(means));
    if (line && !log) { low = Math.min(low, line[0]); high = Math.max(high, line[0]); }
    if (log) return [low / 1.3, high * 1.3];
    const room = (high - low || Math.abs(high) || 1) * 0.07;
    return [range?.[0] ?? (floor === 0 && low >= 0 ? 0 : low - room), range?.[1] ?? high + room];
  }
  const extent = list => list.length ? [list.reduce((a, b) => Math.min(a, b)), list.reduce((a, b) => Math.max(a, b))] : [];
  const axis = { stroke: () => colour("quiet"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const readOut = places => series.forEach(([name], i) => {  // at the nearest moment for which there is a value
    const index = places?.[quiet ? i + 1 : 2 * i + 2];
    values[i].textContent = written(index == null ? last(name) : (quiet ? stats : smoothed)[name][index]);
  });
  const marks = u => {
    const { ctx, bbox } = u, ratio = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = ratio;
    if (line && line[0] >= u.scales.y.min && line[0] <= u.scales.y.max) {
      const y = Math.round(u.valToPos(line[0], "y", true));
      ctx.strokeStyle = ctx.fillStyle = colour("ink");
      ctx.globalAlpha = 0.75;
      ctx.setLineDash([5 * ratio, 4 * ratio]);
      ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
      ctx.font = `italic ${12 * ratio}px ${colour("serif")}`;
      ctx.textAlign = "right";
      ctx.textBaseline = y - bbox.top < 18 * ratio ? "top" : "bottom";
      ctx.fillText(line[1], bbox.left + bbox.width - 4 * ratio, y + (ctx.textBaseline === "top" ? 3 : -3) * ratio);
    }
    if (frameImages() != null) {
      const x = Math.round(u.valToPos(frameImages(), "x", true));
      if (x >= bbox.left && x <= bbox.left + bbox.width + 1) {
        ctx.globalAlpha = 0.55;
        ctx.setLineDash([]);
        ctx.strokeStyle = colour("ink");
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      }
    }
    ctx.restore();
  };
  const [lowest, highest] = limits();
  const u = new uPlot({
    width: Math.max(200, holder.clientWidth), height: 210, padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "zerosum" }, drag: { x: false, y: false }, points: { size: 7 }, hover: { skip: [null] }, y: false },
    scales: { x: { time: false, range: (_, low, high) => low === high ? [low - 1, high + 1] : [low, high] }, y: log ? { distr: 3, range: [lowest, highest] } : { range: [lowest, highest] } },
    axes: [
      { ...axis, space: 60, values: (_, ticks) => ticks.map(short), size: 28, gap: 6 },
      { ...axis, size: 52, gap: 6, space: 36, ...(chart.steps ? { incrs: chart.steps } : {}), values: (_, ticks) => ticks.map(value => value == null ? "" : chart.tick ? chart.tick(value) : value.toLocaleString(language, { style: chart.percent ? "percent" : "decimal", maximumSignificantDigits: 3, notation: Math.abs(value) >= 1e4 ? "compact" : "standard" }).replace("-", "−")) },
    ],
    series: described,
    hooks: { draw: [marks], setCursor: [u => readOut(u.cursor.idx == null ? null : u.cursor.idxs)] },
  }, columns, holder);
  u.over.addEventListener("click", () => {
    if (!data.frames.length || u.cursor.idx == null) return;
    const here = at[u.cursor.idx], gaps = data.frames.map(({ images }) => Math.abs(images - here));
    stop();
    show(gaps.indexOf(Math.min(...gaps)));
  });
  readOut(null);
  return u;
}

// ---- how to read the page ----
// Settings that turn off something described in a section.
const left = part => part !== "change-2" ? [] : ["other_ages", "wrong_ages"].filter(name => asSet[name] === false).map(name => " " + say("without-" + name.replace("_", "-")));
function reading() {
  const critic = Boolean(stats["critic/real"]), value = last("value");
  const parts = maps ? ["class-1", "class-2", "maps-1", "maps-2"] : pairs ? ["pairs-1", "pairs-2", ...(critic ? ["critic-1"] : []), "pairs-3"] : names ? ["class-1", "class-2", "class-3", "class-4"] : changes ? ["change-1", "change-2", ...(critic ? ["critic-1"] : []), "change-3"] : critic ? ["critic-1", "critic-2", "critic-3"] : ["read-1", "read-2", "read-3", "read-4"];
  return section("reading", say("reading"), make("div", { class: "lecture" },
    parts.map(part => make("article", {}, make("h3", {}, say(part + "-title")), make("p", {}, say(part, { latents: asSet.network?.latent_dim }), ...left(part)))),
    value != null && !pairs ? make("article", { class: "now" }, make("h3", {}, say("now-title")),
      make("p", {}, say("now", { value: number(value), jsd: number(Math.max(0, value / 2 + Math.LN2)) }))) : null));
}

// ---- conditions of a generator ----
function asking() {
  if (!data.conditions.length) return null;
  const run = quoted(data.run), wishes = changes ? data.conditions.map((condition, i) => i ? condition : { ...condition, usual: condition.values.at(-1) }) : data.conditions.slice(0, 2), [first] = wishes;
  const python = `{${wishes.map(({ name, usual }) => JSON.stringify(name) + ": " + JSON.stringify(usual)).join(", ")}}`;
  const options = wishes.slice(1).map(({ name, usual }) => ` ${quoted("--" + name)} ${quoted(usual)}`).join("");
  const listed = ({ values, count }) => values.join(", ") + (count > values.length ? " " + say("more-values", { n: whole(count - values.length) }) : "");
  return section("asking", say("asking"), make("p", { class: "lead" }, suited("asking-intro")),
    make("dl", { class: "tree" }, data.conditions.map(condition => make("div", { class: "leaf" }, make("dt", {}, condition.name), make("dd", {}, listed(condition))))),
    commands(changes ? [
      [say("ask-change"), `zerosum translate ${run} picture.jpg ${quoted("--" + first.name)} ${quoted(first.usual)}${options} --out changed.png`],
      [say("ask-changes"), `zerosum translate ${run} pictures/ ${quoted(`--${first.name}s`)} all${options} --out sheet.png`],
      [say("go-python"), `import zerosum\nimages = zerosum.load(${JSON.stringify(data.run)}).translate(images, asked=${python})  # uint8 (N, H, W, C)`],
    ] : [
      [say("ask-set"), `zerosum sample ${run} --set ${wishes.map(({ name, usual }) => quoted(`${name}=${usual}`)).join(" ")}` + (data.vectors ? "" : " --grid 8x8 --out asked.png")],
      ...(data.vectors ? [] : [[say("ask-sweep"), `zerosum sample ${run} --sweep ${quoted(first.name)} --out sweep.png`]]),
      [say("go-python"), `import zerosum\nimages = zerosum.load(${JSON.stringify(data.run)}).sample(64, attributes=${python})`],
    ]));
}
const commands = entries => make("dl", { class: "commands" }, entries.map(([words, code]) =>
  make("div", {}, make("dt", {}, words), make("dd", {}, make("pre", { tabindex: 0 }, make("code", {}, code))))));

// ---- next steps ----
// The settings of a classifier for the edited attribute: the same bins and image size.
function reader() {
  const { shape, conditions: [{ name, values, edges = [] }] } = data.config.data, [height, width] = shape;
  return [`label=${name}`, `bins=${(edges.length ? edges : values).join(",")}`, `size=${height === width ? height : height + "x" + width}`].map(quoted).join(" ");
}
function quoted(text) { return /^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'"; }
function goOn() {
  const run = quoted(data.run), finished = data.state === "done";
  const more = Math.max(1000, 2 * (data.budget.images || data.images));
  const entries = [
    [say(data.state === "diverged" ? "go-diverged" : finished ? "go-longer" : "go-resume"), `zerosum resume ${run}` + (finished ? ` --images ${more}` : "")],
    ...(changes ? [] : pairs ? [[say("go-translate"), `zerosum translate ${run} pictures/ --out made/`]] : data.vectors || names ? [] : [
      [say("go-grid"), `zerosum sample ${run} -n 64 --grid 8x8 --out grid.png`],
      [say("go-folder"), `zerosum sample ${run} --seeds 0-999 --out ${quoted(data.run + "-images")}/`]]),
    ...(changes ? [[say("go-reader"), `zerosum train classifier ${quoted(data.path)} ${reader()} --out ${quoted(data.run + "-reader")}`]] : []),
    ...(data.vectors ? [] : [[suited("go-evaluate"), `zerosum evaluate ${run} ${quoted(data.path)}` + (changes ? ` --reader ${quoted(data.run + "-reader")}` : "")]]),
    ...(changes ? [] : [[say("go-python"), `import zerosum\n` + (pairs ? `images = zerosum.load(${JSON.stringify(data.run)}).translate(inputs)  # as the data is stored, (N, H, W, C)` : names ? `words = zerosum.load(${JSON.stringify(data.run)}).classify(images)  # uint8 (N, H, W, C)`
      : `images = zerosum.load(${JSON.stringify(data.run)}).sample(16, seed=0)`)]]),
  ];
  return section("go-on", say("go-on"), commands(entries));
}

// ---- events, settings, environment, checkpoints ----
const isObject = value => value != null && typeof value === "object";
const isBranch = value => isObject(value) && (!Array.isArray(value) || value.some(isObject));
const MOST_LISTED = 60;  // of a list: a thousand combinations of attributes would be one line of 36,000 characters
function tree(value) {
  if (Array.isArray(value)) {
    const shown = value.slice(0, MOST_LISTED), more = value.length > shown.length ? say("more-values", { n: whole(value.length - shown.length) }) : "";
    return !isBranch(value) ? document.createTextNode([shown.join(", ") || "–", more].filter(Boolean).join(" "))
      : make("ul", {}, shown.map(item => make("li", {}, tree(item))), more ? make("li", {}, more) : null);
  }
  if (isObject(value)) return make("dl", { class: "tree" }, Object.entries(value).map(([key, item]) =>
    make("div", { class: isBranch(item) ? "branch" : "leaf" }, make("dt", {}, key), make("dd", {}, tree(item)))));
  return document.createTextNode(value == null ? "–" : String(value));
}
function record() {
  const { names: saved, latest } = data.checkpoints;
  const events = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": say("events") }, make("table", {},
    make("thead", {}, make("tr", {}, ["col-time", "col-images", "col-event"].map(key => make("th", { scope: "col" }, say(key))))),
    make("tbody", {}, data.events.toReversed().map(event => make("tr", { class: "event " + (["warning", "failed", "diverged"].includes(event.kind) ? event.kind : "") },
      make("td", {}, moment(event.time)), make("td", { class: "number" }, event.images == null ? "" : whole(event.images)),
      make("td", { lang: tongue(event.text ?? event.kind) }, told(event.text ?? event.kind)))))));
  const fold = (key, ...children) => make("details", {}, make("summary", {}, say(key)), ...children);
  return section("record", say("details"),
    fold("settings", tree(data.config)),
    fold("events", data.eventCount > data.events.length ? make("p", { class: "quiet small" }, say("events-shortened", { n: data.events.length })) : null, events),
    fold("checkpoints", saved.length ? make("ul", { class: "names" }, saved.map(name => make("li", {}, name, name === latest ? make("span", { class: "tag" }, say("latest")) : null))) : make("p", { class: "quiet" }, say("no-checkpoints"))),
    fold("environment", tree(data.environment)));
}

function draw(focus) {
  const open = [...document.querySelectorAll("details")].map(node => node.open), top = scrollY;
  root.lang = language;
  if (theme === "auto") root.removeAttribute("data-theme"); else root.setAttribute("data-theme", theme);
  plots.forEach(plot => plot.destroy());
  const game = curves();
  document.getElementById("page").replaceChildren(
    header(), make("main", {}, ...[samples(), copying(), findings(), scores(), game.node, reading(), asking(), goOn(), record()].filter(Boolean)),
    make("footer", {}, say("made", { version: data.version, time: moment(data.written) })));
  [...document.querySelectorAll("details")].forEach((node, i) => { node.open = open[i] ?? node.open; });
  plots = game.draw() || [];
  if (data.frames.length) show(frame);
  label();
  scrollTo(0, top);
  if (focus) document.getElementById(focus).focus();
}
draw();
// During training the file is rewritten at checkpoints: the page reloads, and keeps its position.
const RELOAD = 30000, place = "zerosum.place " + data.run;
function reload() {
  if (document.hidden || playing) return;
  const open = [...document.querySelectorAll("details")].map(node => node.open), newest = frame === data.frames.length - 1;
  try { sessionStorage.setItem(place, JSON.stringify({ top: scrollY, open, images: newest ? null : frameImages() })); } catch { /* the position is lost */ }
  location.reload();
}
if (data.state === "running") setInterval(reload, RELOAD);
try {
  const { top, open, images } = JSON.parse(sessionStorage.getItem(place));
  sessionStorage.removeItem(place);
  [...document.querySelectorAll("details")].forEach((node, i) => { node.open = open[i] ?? node.open; });
  const kept = data.frames.findIndex(other => other.images === images);
  if (kept >= 0) show(kept);
  scrollTo(0, top);
} catch { /* opened, not reloaded */ }
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(plot => plot.redraw(false)));
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  for (const plot of plots) plot.setSize({ width: Math.max(200, plot.root.parentElement.clientWidth), height: 210 });
});
})();
