"""The page's style and its one script: of one family with the report pages, dark where the system is.

The script only turns what the browser does by itself (a form that is sent, a text that is typed) into events that carry
plain values, so that nothing on the page needs to be evaluated. Where it stands, and with which rights, is the door's.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #212529; --soft: #5c636a; --line: #dee2e6; --edge: #868e96; --accent: #3b5bdb;
  --paper: #ffffff; --shade: #f6f7f9; --mark: #d3f9d8; --note: #fff3bf; --bad: #c92a2a; --good: #237032; --on: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e9ecef; --soft: #adb5bd; --line: #373b41; --edge: #868e96;
  --accent: #91a7ff; --paper: #16181c; --shade: #1f2227; --mark: #234d2b; --note: #4a4213; --bad: #ff8787;
  --good: #8ce99a; --on: #16181c } }
* { box-sizing: border-box }
html, body { background: var(--paper); color: var(--ink) }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 }
.nicegui-content { display: block; padding: 0; max-width: 1200px; margin: 0 auto }
.q-page { min-height: 0 }
header.top { display: flex; flex-wrap: wrap; align-items: baseline; gap: .3rem 1.2rem; padding: .9rem 1rem .7rem;
  border-bottom: 1px solid var(--line) }
header.top b { font-size: 1.15rem } header.top form { margin-left: auto }
nav { display: flex; flex-wrap: wrap; gap: .1rem .3rem }
nav a { color: var(--ink); text-decoration: none; padding: .2rem .55rem; border-radius: 6px }
nav a:hover { background: var(--shade) }
nav a[aria-current] { color: var(--accent); box-shadow: inset 0 -2px var(--accent); border-radius: 6px 6px 0 0 }
.section { padding: 1rem 1rem 4rem; outline: 0 }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .4rem 0 .2rem; font-weight: 700; letter-spacing: normal }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 2rem 0 .6rem; border-bottom: 1px solid var(--line);
  padding-bottom: .3rem; font-weight: 700; letter-spacing: normal }
p { margin: .4rem 0 .8rem } .soft { color: var(--soft) } .bad { color: var(--bad) } .good { color: var(--good) }
a { color: var(--accent) }
summary { display: list-item; list-style: disclosure-closed inside; cursor: pointer; color: var(--soft) }
details[open] > summary { list-style-type: disclosure-open; margin-bottom: .5rem }
.side > * > h2:first-child { margin-top: 0 }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px }
.skip { position: absolute; left: -99rem } .skip:focus { left: 1rem; top: .5rem; background: var(--paper); z-index: 9 }
.side { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem 2rem }
.side > *, .tiles > * { min-width: 0 }
@media (min-width: 860px) { .side { grid-template-columns: minmax(0, 20rem) minmax(0, 1fr) } }
@media (min-width: 1100px) { .side.three { grid-template-columns: minmax(0, 19rem) minmax(0, 1fr) minmax(0, 17rem) } }
.ask { display: grid; grid-template-columns: minmax(0, 1fr); gap: .7rem; align-content: start }
label { display: block; font-size: .9rem } label.tick { display: flex; gap: .5rem; align-items: center }
label.tick input { width: auto; margin: 0; flex: none }
input, select, textarea { font: inherit; width: 100%; margin-top: .15rem; padding: .35rem .5rem; color: var(--ink);
  background: var(--paper); border: 1px solid var(--edge); border-radius: 6px;
  accent-color: var(--accent); min-width: 0 }
input[type=range] { padding: 0; border: 0 }
select[multiple] { overflow: hidden auto } select { text-overflow: ellipsis; contain: paint }
textarea { min-height: 7rem; resize: vertical }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: .7rem }
.row { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center }
button { font: inherit; color: var(--accent); background: none; border: 1px solid var(--edge); border-radius: 6px;
  padding: .25rem .7rem; cursor: pointer } button:hover { background: var(--shade) }
button.main { background: var(--accent); border-color: var(--accent); color: var(--on) }
button:disabled { opacity: .5; cursor: default }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .8rem; margin: 1rem 0 }
.tile { border: 1px solid var(--line); border-radius: 10px; padding: .6rem .9rem; font-size: .9rem }
.tile b { display: block; font-size: 1.4rem; line-height: 1.3; color: var(--accent); overflow-wrap: anywhere }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th { font-weight: 600 } th.t, td.t { text-align: left; overflow-wrap: break-word; max-width: 24rem }
.cell { border-radius: 3px; padding: 0 .25rem; text-align: center; min-height: 1.4em; min-width: 1.6em }
ol.list, ul.line { list-style: none; margin: 0; padding: 0 }
ol.list > li { border-bottom: 1px solid var(--line); padding: .6rem 0; display: grid; gap: .15rem .8rem;
  grid-template-columns: 1.8rem minmax(0, 1fr) auto }
ol.list .title { font-weight: 600; overflow-wrap: anywhere } ol.list .rank { color: var(--soft); text-align: right }
ol.list .more { grid-column: 2 / -1; font-size: .9rem } .bar { background: var(--shade); border-radius: 3px }
.bar i { display: block; background: var(--accent); height: .45rem; border-radius: 3px; min-width: 2px }
@media (max-width: 560px) { ol.list > li { grid-template-columns: 1.6rem minmax(0, 1fr) }
  ol.list .acts { grid-column: 2 } }
ul.line { border-left: 2px solid var(--line); padding-left: .9rem; font-size: .92rem }
ul.line li { margin: 0 0 .5rem; position: relative; overflow-wrap: anywhere }
ul.line li::before { content: ""; position: absolute; left: calc(-.9rem - 5px); top: .5em; width: 8px; height: 8px;
  border-radius: 50%; background: var(--accent) }
ul.plain { list-style: none; margin: 1rem 0; padding: 0 } ul.plain li { margin-bottom: .5rem; overflow-wrap: anywhere }
ol.chain { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; padding: 0; margin: .6rem 0 }
ol.chain li { border: 1px solid var(--line); border-radius: 8px; padding: .3rem .6rem; overflow-wrap: anywhere }
ol.chain li + li::before { content: "→ "; color: var(--soft) }
.note, .error { border-radius: 6px; padding: .5rem .8rem; margin: .6rem 0; overflow-wrap: anywhere }
.note { background: var(--note) } .error { border: 1px solid var(--bad) }
.chip { display: inline-block; border: 1px solid var(--edge); border-radius: 99px; padding: 0 .6rem; font-size: .85rem }
svg.plot { width: 100%; height: 90px; display: block; border-bottom: 1px solid var(--line) }
svg.plot path { fill: var(--accent) }
pre.id, code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; white-space: normal; background: none;
  color: inherit; padding: 0 }
dl.facts { display: grid; grid-template-columns: minmax(7rem, auto) minmax(0, 1fr); gap: .2rem 1rem; margin: 0 }
dl.facts dt { color: var(--soft) } dl.facts dd { margin: 0; overflow-wrap: anywhere }
progress { width: 100%; accent-color: var(--accent) }
#popup, #too_long_message_popup { font-family: system-ui, sans-serif }
"""

SCRIPT = """
const values = form => {
  const given = {};
  for (const [name, value] of new FormData(form)) (given[name] ??= []).push(value);
  return given;
};
document.addEventListener("submit", event => {
  const form = event.target;
  if (form.method === "post") return;
  event.preventDefault();
  const given = values(form);
  if (event.submitter?.name) given[event.submitter.name] = [event.submitter.value];
  form.dispatchEvent(new CustomEvent("ask", {detail: given}));
});
let waiting;
document.addEventListener("input", event => {
  if (event.target.dataset.shows) document.getElementById(event.target.dataset.shows).textContent = event.target.value;
  if (!("complete" in event.target.dataset)) return;
  clearTimeout(waiting);
  waiting = setTimeout(
    () => event.target.dispatchEvent(new CustomEvent("complete", {detail: event.target.value})), 150);
});
document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button?.dataset.confirm && !confirm(button.dataset.confirm)) {
    event.stopImmediatePropagation();
    event.preventDefault();
  }
  if (button?.dataset.adds) {
    const [from, to] = button.dataset.adds.split(" ").map(id => document.getElementById(id));
    if (from.value.trim()) to.value = (to.value.trim() ? to.value.trimEnd() + "\\n" : "") + from.value.trim() + "\\n";
    from.value = "";
    from.focus();
  }
}, true);
"""
