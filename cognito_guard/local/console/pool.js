let state = null;

const pool = () => state.pools.find((each) => each.id === $("pool").value);
const client = () => pool().clients.find((each) => each.id === $("client").value);
const scopesOf = (each) =>
  Object.entries(each.resource_servers).flatMap(([identifier, scopes]) =>
    Object.keys(scopes).map((name) => `${identifier}/${name}`),
  );
const tokenUrl = () => `${here}/oauth2/token`;

function showPool() {
  choose(
    "client",
    pool().clients.map((each) => [each.id, `${each.name} (${each.id})`]),
  );
  showTokenForm();
  reconcile($("clients"), pool().clients, (each) => each.id, clientItem);
  $("no-clients").hidden = !!pool().clients.length;
  offer("client-scopes", scopesOf(pool()), "Add a scope first.", () => true);
  reconcile($("servers"), Object.entries(pool().resource_servers), ([identifier]) => identifier, serverItem);
  $("no-servers").hidden = !!$("servers").childElementCount;
  reconcile(
    $("identifiers"),
    Object.keys(pool().resource_servers),
    (value) => value,
    (value) => make("option", {value}),
  );
  reconcile($("keys"), pool().keys, (key) => key.kid, keyItem);
  $("undo").hidden = !pool().undo;
  if (pool().undo && $("undo-text").textContent !== pool().undo) $("undo-text").textContent = pool().undo;
}

function clientVariables(each) {
  return {
    COGNITO_CLIENT_ID: each.id,
    ...(each.secrets.length ? {COGNITO_CLIENT_SECRET: each.secrets.at(-1)} : {}),
    COGNITO_TOKEN_URL: tokenUrl(),
  };
}

function clientItem(each, old) {
  const secrets = each.secrets.map((secret) => make("div", {}, make("code", {}, secret)));
  const more = make(
    "div",
    {className: "more", hidden: old?.querySelector(".more")?.hidden ?? true},
    pairs([
      [
        "Scopes",
        make(
          "div",
          {},
          ...each.scopes.map((scope) => make("div", {}, make("code", {}, scope))),
          each.scopes.length ? "" : "none",
        ),
      ],
      [
        secrets.length > 1 ? "Secrets" : "Secret",
        secrets.length ? make("div", {}, ...secrets) : "none: a public client",
      ],
      ["Tokens", `valid for ${each.access_token_validity} seconds`],
    ]),
  );
  const toggle = make(
    "button",
    {type: "button", ariaLabel: `Details of ${each.name}`, ariaExpanded: String(!more.hidden)},
    "Details",
  );
  toggle.addEventListener("click", () => {
    more.hidden = !more.hidden;
    toggle.ariaExpanded = String(!more.hidden);
  });
  const copiers = [copier("Copy id", each.name, each.id)];
  if (each.secrets.length) copiers.push(copier("Copy secret", each.name, each.secrets.at(-1)));
  copiers.push(copier("Copy .env", each.name, environment(clientVariables(each))));
  return make(
    "li",
    {},
    make(
      "div",
      {className: "line"},
      make("div", {}, make("span", {className: "name"}, each.name), make("code", {}, each.id)),
      make("div", {className: "buttons"}, ...copiers, toggle),
    ),
    more,
  );
}

function serverItem([identifier, scopes]) {
  return make(
    "li",
    {},
    ...Object.entries(scopes).map(([name, description]) =>
      make(
        "div",
        {className: "line"},
        make("div", {}, make("span", {}, description), make("code", {}, `${identifier}/${name}`)),
      ),
    ),
  );
}

function keyItem(key) {
  const act = (action, text, title) => {
    const button = make("button", {type: "button", title, ariaLabel: `${text} ${key.kid}`}, text);
    button.addEventListener("click", () => changeKeys(action, key.kid));
    return button;
  };
  const buttons = [
    act("withdraw", "Withdraw", "Do not publish it any more"),
    act("replace", "Replace", "Another key under the same name"),
  ];
  return make(
    "li",
    {},
    make(
      "div",
      {className: "line"},
      make(
        "div",
        {},
        make("span", {className: "name"}, `Signs ${key.signs}`),
        " ",
        make(
          "span",
          {className: `badge ${key.published ? "passed" : "failed"}`},
          key.published ? "published" : "withdrawn",
        ),
        make("code", {}, key.kid),
      ),
      key.published ? make("div", {className: "buttons"}, ...buttons) : "",
    ),
  );
}

function changeKeys(action, kid = "") {
  return trying("keys-error", async () => {
    await ask("keys", {pool: pool().id, action, kid});
    await refresh();
    // The button that was pressed may be gone; the next thing to press is this one.
    if (document.activeElement === document.body) (pool().undo ? $("undo-button") : $("rotate")).focus();
  });
}

// Adds something, folds the form and returns to its summary.
function adding(form, action) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    trying(`${form}-error`, async () => {
      const added = await action();
      await refresh();
      $(form).reset();
      $(`${form}-part`).open = false;
      document.querySelector(`#${form}-part summary`).focus();
      say(added());
    });
  });
}

async function addClient() {
  const name = $("client-name").value;
  const {client_id: id} = await ask("clients", {
    pool: pool().id,
    name,
    scopes: ticksOf("client-scopes"),
    access_token_validity: Number($("client-validity").value),
  });
  return () => {
    $("client").value = id;
    showTokenForm();
    return `The client ${name} was added.`;
  };
}

async function addScope() {
  const {scope} = await ask("scopes", {
    pool: pool().id,
    identifier: $("scope-server").value.trim(),
    name: $("scope-name").value.trim(),
    description: $("scope-description").value,
  });
  return () => `The scope ${scope} was added.`;
}
