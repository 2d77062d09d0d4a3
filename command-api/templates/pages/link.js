// The link of a letter carries its secret behind the "#", which browsers send to nobody. It goes into the form, and out of the
// address, so that it stays neither in the history nor on the screen. A form that only shows what the link is about is sent at
// once; nothing else is until the person presses the button.
"use strict";

const token = document.getElementById("token");

function take() {
  const secret = window.location.hash.slice(1);
  if (token && secret) {
    token.value = secret;
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
    if ("opens" in token.form.dataset) token.form.submit();
  }
  if (token && token.value) {
    document.getElementById("by-hand").hidden = true;
  }
}

take();
window.addEventListener("hashchange", take);
