const kind = () => document.querySelector("input[name=kind]:checked").value;
const USER_SCOPE = "aws.cognito.signin.user.admin"; // what a sign-in by API grants

// Shows the fields that the chosen kind of token has, with the scopes of the chosen client.
let offered = "";
function showTokenForm() {
  const chosen = client();
  const scopes = [...(chosen?.scopes ?? []), ...(kind() === "user" ? [USER_SCOPE] : [])];
  // Ticks of one client say nothing about another.
  const now = `${pool().id} ${chosen?.id} ${kind()}`;
  if (now !== offered) $("scopes").replaceChildren();
  offered = now;
  offer("scopes", scopes, "This client may ask for no scope.", (scope) => scope !== USER_SCOPE);
  $("person").hidden = kind() === "machine";
  $("scopes-field").hidden = kind() === "id";
  $("lifetime").placeholder = chosen ? String(chosen.access_token_validity) : "";
}

function decoded(part) {
  const bytes = Uint8Array.from(atob(part.replace(/-/g, "+").replace(/_/g, "/")), (character) =>
    character.charCodeAt(0),
  );
  return JSON.parse(new TextDecoder("utf-8", {fatal: true}).decode(bytes));
}

// JSON, with dates beside the seconds.
function pretty(members) {
  return JSON.stringify(members, null, 2).replace(
    /^(  "(?:exp|iat|nbf|auth_time)": )(\d{1,11})(,?)$/gm,
    (line, name, seconds) => `${line}   ← ${new Date(seconds * 1000).toLocaleString([], {hour12: false})}`,
  );
}

// What a client runs to get a token; without scopes it gets all that it may ask for.
function tokenCommand(each, scopes) {
  return (
    `curl -sS -u ${quoted(`${each.id}:${each.secrets.at(-1)}`)} -d grant_type=client_credentials` +
    (scopes.length ? ` --data-urlencode ${quoted(`scope=${scopes.join(" ")}`)}` : "") +
    ` ${tokenUrl()}`
  );
}

async function getToken() {
  if (!client()) throw new Error("This user pool has no client. Add one first.");
  const ticked = ticksOf("scopes");
  const others = $("other-scopes").value.split(/\s+/).filter(Boolean);
  const lifetime = $("lifetime").value === "" ? null : Number($("lifetime").value);
  const flaw = $("flaw").value;
  const chosen = client();
  const machine = kind() === "machine";
  const {token} = await ask("token", {
    pool: pool().id,
    kind: kind(),
    client_id: chosen.id,
    username: $("username").value,
    scopes: [...ticked, ...others],
    groups: $("groups")
      .value.split(",")
      .map((name) => name.trim())
      .filter(Boolean),
    lifetime,
    flaw,
  });
  const [header, payload, signature] = token.split(".");
  $("token").replaceChildren(
    make("span", {className: "header"}, header),
    ".",
    make("span", {className: "payload"}, payload),
    ".",
    make("span", {className: "signature"}, signature),
  );
  $("claims").textContent = pretty(decoded(payload));
  $("curl").textContent = `curl -i -H "Authorization: Bearer ${token}" http://127.0.0.1:8000/`;
  $("flawed").textContent =
    `An API must refuse this token: ${flaw ? $("flaw").selectedOptions[0].textContent : "ID token"}`;
  $("flawed").hidden = !flaw && kind() !== "id";
  // Only what the token endpoint would answer with the same token.
  const secret = chosen.secrets.at(-1);
  $("ask-part").hidden = !(
    machine &&
    chosen.machine &&
    secret &&
    ticked.length &&
    !others.length &&
    !flaw &&
    lifetime === null
  );
  $("ask").textContent = secret ? tokenCommand(chosen, ticked) : "";
  $("got").hidden = false;
  say($("flawed").hidden ? "The token is ready." : $("flawed").textContent);
  $("pasted").value = token;
}

function failedItem(check) {
  const said =
    check.found === null
      ? ""
      : pairs([
          ["Found", make("code", {}, check.found)],
          ["Expected", make("code", {}, check.expected)],
        ]);
  return make(
    "li",
    {},
    make("span", {className: "name"}, check.name),
    `: ${check.description} (${check.reason})`,
    said,
  );
}

const WORDS = {passed: "passed", open: "not reached"};

async function checkToken() {
  const token = $("pasted")
    .value.trim()
    .replace(/^Bearer +/i, "");
  const {checks} = await ask("judge", {pool: pool().id, token});
  const of = (outcome) => checks.filter((check) => check.outcome === outcome);
  const [first] = of("failed"),
    rest = [...of("passed"), ...of("open")];
  $("verdict").className = `verdict ${first ? "failed" : "passed"}`;
  $("verdict").textContent = first ? `Refused: ${first.description}` : "Accepted. Its scopes decide what it may do.";
  $("failed").replaceChildren(...of("failed").map(failedItem));
  const plural = (count) => `${count} check${count === 1 ? "" : "s"}`;
  $("rest").hidden = !rest.length;
  $("rest-count").textContent = [
    of("passed").length ? `${plural(of("passed").length)} passed` : "",
    of("open").length ? `${plural(of("open").length)} not reached` : "",
  ]
    .filter(Boolean)
    .join(", ");
  $("rest-checks").replaceChildren(
    ...rest.map((check) =>
      make(
        "li",
        {},
        make("span", {className: `badge ${check.outcome}`}, WORDS[check.outcome]),
        make("span", {}, check.name),
      ),
    ),
  );
  let said = null;
  try {
    const [header, claims] = token.split(".");
    said = `${pretty(decoded(header))}\n${pretty(decoded(claims))}`;
  } catch {
    /* nothing readable */
  }
  $("inside").hidden = said === null;
  $("said").textContent = said ?? "";
  $("checked").hidden = false;
  say(`${$("verdict").textContent} ${$("rest-count").textContent}`);
}
