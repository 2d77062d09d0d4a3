// Passkeys. Where a browser has them, their buttons are shown. On the page that asks for one, the browser is asked at once, and
// what it answers goes into the form of that page, which is sent like any other.
"use strict";

const bytesOf = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (it) => it.charCodeAt(0));
const textOf = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

async function signed(options) {
  const publicKey = { ...options, challenge: bytesOf(options.challenge) };
  const { rawId, response } = await navigator.credentials.get({ publicKey });
  return {
    credential: textOf(rawId),
    client_data: textOf(response.clientDataJSON),
    authenticator_data: textOf(response.authenticatorData),
    signature: textOf(response.signature),
  };
}

async function made(options) {
  const known = options.excludeCredentials.map((it) => ({ ...it, id: bytesOf(it.id) }));
  const user = { ...options.user, id: bytesOf(options.user.id) };
  const publicKey = { ...options, challenge: bytesOf(options.challenge), user, excludeCredentials: known };
  const { response } = await navigator.credentials.create({ publicKey });
  return { client_data: textOf(response.clientDataJSON), attestation: textOf(response.attestationObject) };
}

const asking = document.getElementById("asking");

async function ask() {
  const [button, failed] = [asking.querySelector("button"), document.getElementById("failed")];
  // A second question would be refused while the first one is open.
  button.disabled = true;
  failed.hidden = true;
  try {
    const options = JSON.parse(asking.dataset.options);
    const answer = await (asking.dataset.asks === "create" ? made(options) : signed(options));
    for (const [name, value] of Object.entries(answer)) asking.elements.namedItem(name).value = value;
    asking.submit();
  } catch {
    // Why, browsers do not tell pages: the person stopped it, was too slow, or has no passkey here.
    failed.hidden = false;
    button.disabled = false;
  }
}

if (window.PublicKeyCredential) {
  for (const it of document.querySelectorAll("[data-passkey]")) it.hidden = false;
}
if (asking) {
  asking.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  ask();
}
