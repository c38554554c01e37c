const INTERVAL = 2000; // milliseconds
let lastSeen = null;
let asked = 0;
let answered = 0;

async function refresh() {
  const number = (asked += 1);
  const latest = await ask("state", {url: here});
  if (number < answered) return; // a later question was answered first
  answered = number;
  state = latest;
  lastSeen = Date.now() / 1000;
  showGone(null);
  choose(
    "pool",
    state.pools.map((each) => [each.id, each.id]),
  );
  choose("flaw", [["", "No, a valid token"], ...Object.entries(state.choices.flaws)]);
  showPool();
  showRequests();
  showFaults();
  arrange();
}

async function keepUp() {
  if (!document.hidden) {
    await refresh().catch((error) => {
      const since = lastSeen === null ? "" : ` This page shows what it knew at ${clockTime(lastSeen)}.`;
      showGone(`${error.message}${since} Trying again every ${INTERVAL / 1000} seconds.`);
    });
  }
  clearTimeout(keepUp.timer); // another call may have set one meanwhile
  keepUp.timer = setTimeout(keepUp, INTERVAL);
}

// In one column the requests come first. In two, the faults fill the one that is shorter. The panels are moved, not
// reordered by style, so that the focus goes where the eye goes.
const narrow = matchMedia("(max-width: 999px)");
const FEW = 4; // clients beside which the faults find room
function arrange() {
  const requests = $("requests-panel");
  const faults = $("faults-panel");
  const beside = $(narrow.matches ? "left" : "right");
  if (requests.parentElement !== beside) beside.prepend(requests);
  const right = !narrow.matches && pool().clients.length <= FEW;
  if (right && requests.nextElementSibling !== faults) requests.after(faults);
  if (!right && $("left").lastElementChild !== faults) $("left").append(faults);
}
narrow.addEventListener("change", arrange);

for (const [form, action] of [
  ["get", getToken],
  ["check", checkToken],
]) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    trying(`${form}-error`, action);
  });
}
adding("add-client", addClient);
adding("add-scope", addScope);
$("rotate").addEventListener("click", () => changeKeys("rotate"));
$("undo-button").addEventListener("click", () => changeKeys("undo"));
$("pool").addEventListener("change", () => {
  showPool();
  showRequests();
  arrange();
});
$("client").addEventListener("change", showTokenForm);
$("only-errors").addEventListener("change", showRequests);
// For an API: what UserPool.from_env reads.
$("copy-env").addEventListener("click", () => copy($("copy-env"), environment(pool().environment)));
for (const radio of document.querySelectorAll("input[name=kind]")) radio.addEventListener("change", showTokenForm);
for (const route of Object.keys(ROUTES))
  $(`fault-${route}`).addEventListener("change", (event) => setFault(route, event.target.value));
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(button, $(button.dataset.copies).textContent));
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) keepUp();
});
keepUp();
