const ROUTES = {jwks: "Key set", token: "Token endpoint"};

function nameOf(id) {
  for (const each of state.pools) for (const known of each.clients) if (known.id === id) return known.name;
  return id ?? "";
}

// Requests have no number. Two at the same moment are told apart by their order.
function keyed(requests) {
  const seen = new Map();
  return [...requests]
    .reverse()
    .map((request) => {
      const name = `${request.at} ${request.method} ${request.path}`;
      const count = (seen.get(name) ?? 0) + 1;
      seen.set(name, count);
      return {...request, key: `${name} ${count}`, client: nameOf(request.client_id)};
    })
    .reverse();
}

function requestRow(seen) {
  const tone = seen.status === null ? "" : seen.status < 400 ? "passed" : "failed";
  const cell = (properties, ...children) => make("td", {role: "cell", ...properties}, ...children);
  return make(
    "tr",
    {role: "row"},
    cell({className: "time"}, clockTime(seen.at)),
    cell(
      {className: "status"},
      make("span", {className: `badge ${tone}`}, seen.status === null ? "none yet" : String(seen.status)),
    ),
    cell(
      {},
      make("code", {}, `${seen.method} ${seen.path}`),
      seen.reason ? make("div", {className: "reason"}, seen.reason) : "",
    ),
    cell({}, seen.client),
  );
}

function showRequests() {
  const wanted = keyed(state.requests).filter((seen) => !$("only-errors").checked || seen.status >= 400);
  reconcile($("requests").tBodies[0], wanted, (seen) => seen.key, requestRow);
  $("requests-scroll").hidden = !wanted.length;
  $("no-requests").hidden = !!wanted.length;
  const none = state.requests.length ? "No errors." : `None yet. The stand-in listens at ${here}.`;
  if ($("why-no-requests").textContent !== none) $("why-no-requests").textContent = none;
  const example = pool().clients.find((each) => each.machine && each.secrets.length);
  $("first-part").hidden = !!state.requests.length || !example;
  const command = example ? tokenCommand(example, []) : "";
  if ($("first").textContent !== command) $("first").textContent = command;
}

function showFaults() {
  const active = Object.entries(state.faults).filter(([, fault]) => fault.name !== "none");
  for (const [route, fault] of Object.entries(state.faults)) {
    const other = fault.name === "other" ? [["other", fault.label]] : [];
    choose(`fault-${route}`, [...Object.entries(state.choices.faults), ...other]);
    $(`fault-${route}`).value = fault.name;
  }
  reconcile(
    $("active-faults"),
    active,
    ([route]) => route,
    ([route, fault]) => {
      const lift = make(
        "button",
        {type: "button", ariaLabel: `Lift the fault of the ${ROUTES[route].toLowerCase()}`},
        "Lift",
      );
      lift.addEventListener("click", () => setFault(route, "none"));
      return make("li", {}, make("span", {}, `${ROUTES[route]}: ${fault.label.toLowerCase()}`), lift);
    },
  );
  document.title = active.length ? "Fault active · Local Cognito" : "Local Cognito";
}

function setFault(route, fault) {
  return trying("faults-error", async () => {
    await ask("faults", {route, fault});
    await refresh();
  });
}

// Says that the stand-in is gone; null: it is there.
function showGone(why) {
  $("gone").hidden = why === null;
  if (why !== null && $("gone").textContent !== why) $("gone").textContent = why;
}
