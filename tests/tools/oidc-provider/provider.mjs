// A provider of OpenID Connect, made by others, for the tests of sign-in with one. Clients register themselves; who signs in
// is whoever was named last, without being asked anything, and as of when it was said to be. It listens on a free port of 127.0.0.1, writes its address as the
// first line of standard output, and ends with standard input.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

// What it has to say of a set-up that is for tests alone: nobody reads on after the first line.
console.info = console.warn = () => {};

const jwk = (type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  use: 'sig',
  kid: type,
});

const people = new Map();
let current;
let secondsAgo = 0;

const configuration = {
  jwks: {
    keys: [
      jwk('rsa', { modulusLength: 2048 }),
      jwk('ec', { namedCurve: 'P-256' }),
      jwk('ed25519', {}),
    ],
  },
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  },
  features: { devInteractions: { enabled: false }, registration: { enabled: true } },
  pkce: { required: () => true },
  // Without being asked for `offline_access`: what is asked of people is no concern of ours.
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  cookies: { keys: ['for tests alone'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['given_name', 'family_name'] },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people.get(id) }) }),
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid email profile');
    await grant.save();
    return grant;
  },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  const answer = provider.callback();
  server.on('request', async (request, response) => {
    const url = new URL(request.url, issuer);
    if (url.pathname === '/test/person') {
      current = url.searchParams.get('sub');
      people.set(current, JSON.parse(url.searchParams.get('claims')));
      response.end();
    } else if (url.pathname === '/test/shown') {
      secondsAgo = Number(url.searchParams.get('ago'));
      response.end();
    } else if (url.pathname.startsWith('/interaction/')) {
      const ts = Math.floor(Date.now() / 1000) - secondsAgo;
      await provider.interactionFinished(request, response, { login: { accountId: current, ts } });
    } else {
      answer(request, response);
    }
  });
  process.stdout.write(`${issuer}\n`);
});
process.stdin.resume().on('end', () => process.exit());
