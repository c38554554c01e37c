"use strict";

const $ = (id) => document.getElementById(id);
const root = location.pathname.replace(/[^/]*$/, "");
const here = location.origin + root.replace(/\/$/, "");

// Text stays text: nothing here makes markup of a string.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const pairs = (entries) =>
  make("dl", {}, ...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));

async function ask(what, body = {}) {
  const headers = {"Content-Type": "application/json", "X-Cognito-Guard": "console"};
  let response, text;
  try {
    response = await fetch(`${root}console/${what}`, {method: "POST", headers, body: JSON.stringify(body)});
    text = await response.text();
  } catch {
    throw new Error("The stand-in does not answer. Is it still running?");
  }
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error(text || `The status is ${response.status}.`);
  }
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// Runs an action, and shows its error at the place of that id.
async function trying(place, action) {
  $(place).hidden = true;
  try {
    await action();
  } catch (error) {
    $(place).textContent = error.message;
    $(place).hidden = false;
  }
}

// Announces a sentence to screen readers.
function say(text) {
  $("announcer").textContent = text;
}

const shown = new WeakMap(); // the JSON of what a row shows

// Makes the children of `parent` show `items`, and leaves alone the rows whose items have not changed: what is
// selected, focused or unfolded in them stays so.
function reconcile(parent, items, keyOf, render) {
  const before = new Map([...parent.children].map((row) => [row.dataset.key, row]));
  const after = items.map((item) => {
    const key = keyOf(item);
    const json = JSON.stringify(item);
    const old = before.get(key);
    if (old && shown.get(old) === json) {
      before.delete(key);
      return old;
    }
    const row = render(item, old);
    row.dataset.key = key;
    shown.set(row, json);
    return row;
  });
  for (const row of before.values()) row.remove();
  after.forEach((row, index) => {
    if (parent.children[index] !== row) parent.insertBefore(row, parent.children[index] ?? null);
  });
}

// Fills a select, and keeps its choice if that is still offered.
function choose(id, options) {
  const chosen = $(id).value;
  reconcile(
    $(id),
    options,
    ([value]) => value,
    ([value, textContent]) => make("option", {value, textContent}),
  );
  if (options.some(([value]) => value === chosen)) $(id).value = chosen;
}

// Fills a group of checkboxes, and keeps the ticks of those that are still offered.
function offer(id, values, empty, ticked) {
  reconcile(
    $(id),
    values.length ? values : [null],
    (value) => `=${value}`,
    (value) =>
      value === null
        ? make("span", {className: "soft"}, empty)
        : make("label", {}, make("input", {type: "checkbox", value, checked: ticked(value)}), make("span", {}, value)),
  );
}

const ticksOf = (id) => [...document.querySelectorAll(`#${id} input:checked`)].map((box) => box.value);

// Browsers have the clipboard API at this machine's own addresses only; the old way works everywhere.
function copyTheOldWay(text) {
  const focused = document.activeElement;
  const area = make("textarea", {value: text, className: "unseen"});
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return copied;
}

async function copy(button, text) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copied = copyTheOldWay(text);
  }
  say(copied ? "Copied." : "The browser does not allow copying. Select the text and copy it yourself.");
  button.dataset.label ??= button.textContent;
  button.textContent = copied ? "Copied" : "Not allowed";
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    button.textContent = button.dataset.label;
  }, 1500);
}

function copier(label, owner, text) {
  const button = make("button", {type: "button", ariaLabel: `${label} of ${owner}`}, label);
  button.addEventListener("click", () => copy(button, text));
  return button;
}

const environment = (variables) =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
const quoted = (text) => `'${text.replace(/'/g, `'\\''`)}'`;
const clockTime = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], {hour12: false});
