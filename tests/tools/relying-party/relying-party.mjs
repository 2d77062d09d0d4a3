// A service as others write one, with openid-client: finds everything by discovery, has somebody sign in, and uses what it gets.
// It says where to send the person, is told on its input where they came back, and says at the end what it learnt, as JSON.
// What it asks of the issuer's address goes to the address where the issuer is under test.

import { createInterface } from "node:readline/promises";
import { stdin, stdout } from "node:process";
import * as client from "openid-client";

const [issuer, base, clientId, clientSecret, redirectUri] = process.argv.slice(2);
const lines = createInterface({ input: stdin })[Symbol.asyncIterator]();
const say = (value) => stdout.write(`${JSON.stringify(value)}\n`);

const elsewhere = (url, options) => fetch(String(url).replace(issuer, base), { ...options, redirect: "manual" });
const config = await client.discovery(
  new URL(issuer),
  clientId,
  undefined,
  client.ClientSecretBasic(clientSecret),
  { [client.customFetch]: elsewhere },
);

const verifier = client.randomPKCECodeVerifier();
const [state, nonce] = [client.randomState(), client.randomNonce()];
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri,
  scope: "openid profile email",
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
  nonce,
});
say({ authorize: String(url) });
const back = new URL((await lines.next()).value);
const tokens = await client.authorizationCodeGrant(config, back, {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
});
const claims = tokens.claims();
const person = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const next = await client.refreshTokenGrant(config, tokens.refresh_token);
const facts = await client.tokenIntrospection(config, next.access_token);
await client.tokenRevocation(config, next.refresh_token);
const after = await client.tokenIntrospection(config, next.access_token);
const itself = await client.clientCredentialsGrant(config);
const device = await client.initiateDeviceAuthorization(config, { scope: "openid" });
say({ userCode: device.user_code });
await lines.next();
const abort = AbortSignal.timeout(30_000);
const let_in = await client.pollDeviceAuthorizationGrant(config, { ...device, interval: 0.01 }, undefined, { signal: abort });
say({
  sub: claims.sub,
  amr: claims.amr,
  email: person.email,
  active: facts.active,
  scope: facts.scope,
  activeAfter: after.active,
  itself: itself.scope,
  device: let_in.claims().sub,
  logout: String(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: redirectUri })),
});
process.exit(0);
