// A real OpenID Provider (the certified oidc-provider package) on loopback, for the end-to-end tests.
//
//   node idp.mjs     IDP_MODULES  directory whose node_modules holds oidc-provider
//                    IDP_PKI      directory with tls.crt and tls.key
//                    IDP_CONFIG   JSON of `ctl` below (optional)
//
// Prints one JSON line when ready: {"issuer":…,"control":…,"pid":…}. `control` is a plain HTTP API on a port of its own:
// POST /<op>, JSON in and out (see `ops`).
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const modules = createRequire(path.join(process.env.IDP_MODULES ?? process.cwd(), 'x.js'));
const { Provider, errors } = await import(pathToFileURL(modules.resolve('oidc-provider')));
const pki = process.env.IDP_PKI ?? './pki';

// ---- what a test may change while the IdP runs -------------------------------------------------
const ctl = {
  ttl: { IdToken: 600, AccessToken: 300, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
  disabled: [],            // accounts that the IdP no longer knows
  latencyMs: {},           // {"/token": 3000, "*": 100}
  fail: {},                // {"/token": 503 | "reset" | "hang" | {"status": 200, "headers": {…}, "body": "<html>"}}
  failTimes: {},           // {"/token": 2}: fail that many times, then recover
  rotate: true,            // refresh-token rotation
  revocation: true,        // a revocation endpoint (RFC 7009), and its mention in the metadata
  jwtAccessTokens: false,  // access tokens are JWTs whose `aud` is the client id
  patch: {},               // by route, members of its JSON answer to set (null removes): {"discovery": {"issuer": "https://x"}};
                           // for tokens by grant type: {"token refresh_token": {"id_token": null}}
  backchannelCa: null,     // PEM: whom to trust for the receiver of back-channel logouts, in place of the system's authorities
  oneGrant: false,         // a login ends the grants of all earlier ones of that account, and with them their refresh tokens
  tamper: {},              // by grant type, what forge() changes: {"refresh_token": {"nonce": null}}
};
const assign = (changes) => {
  for (const [k, v] of Object.entries(changes)) {
    if (!(k in ctl) && k !== 'backchannelUri') throw new Error(`unknown setting ${k}`);
    ctl[k] = k === 'ttl' ? { ...ctl.ttl, ...v } : v;
  }
};
if (process.env.IDP_CONFIG) assign(JSON.parse(process.env.IDP_CONFIG));

// `username` is what preferred_username says; it is the account's name unless a test sets another.
const users = {
  alice: { password: 'alice-pw', email: 'alice@example.test', groups: ['dev', 'ops'], name: 'Alice A' },
  bob: { password: 'bob-pw', email: 'bob@example.test', groups: ['dev'], name: 'Bob B' },
};
const usable = (sub) => users[sub] && !ctl.disabled.includes(sub);

// ---- storage -----------------------------------------------------------------------------------
const store = new Map();
class Store {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  live(e) { return e && (e.exp === undefined || e.exp > Date.now() / 1000) ? e : undefined; }
  async upsert(id, payload, ttl) {
    store.set(this.key(id), { model: this.model, id, exp: ttl ? Date.now() / 1000 + ttl + 30 : undefined, payload });
    if (['AccessToken', 'AuthorizationCode', 'RefreshToken'].includes(this.model)) secrets.add(id);
  }
  async find(id) { const e = this.live(store.get(this.key(id))); return e && structuredClone(e.payload); }
  async by(field, value) {
    for (const e of store.values()) if (e.model === this.model && e.payload[field] === value && this.live(e)) return structuredClone(e.payload);
    return undefined;
  }
  findByUid(uid) { return this.by('uid', uid); }
  findByUserCode(code) { return this.by('userCode', code); }
  async consume(id) { const e = store.get(this.key(id)); if (e) e.payload.consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { store.delete(this.key(id)); }
  async revokeByGrantId(grantId) { for (const [k, e] of store) if (e.payload.grantId === grantId) store.delete(k); }
}
// Ends an account's grants, and with them its refresh tokens, but for the one to keep.
async function endGrants(sub, keep) {
  const ids = [...store.values()].filter((e) => e.model === 'Grant' && e.payload.accountId === sub && e.id !== keep).map((e) => e.id);
  for (const id of ids) { await new Store('Grant').revokeByGrantId(id); await new Store('Grant').destroy(id); }
  return ids.length;
}
// Every value this IdP ever issued that must not show anywhere: a test greps its whole run for them.
const secrets = new Set();

// ---- signing keys ------------------------------------------------------------------------------
const KINDS = {
  RSA: ['RS256', 'rsa', { modulusLength: 2048 }], 'P-256': ['ES256', 'ec', { namedCurve: 'P-256' }],
  'P-384': ['ES384', 'ec', { namedCurve: 'P-384' }], Ed25519: ['EdDSA', 'ed25519', {}],
};
const newKey = (kind) => {
  const [, type, options] = KINDS[kind];
  const { privateKey } = crypto.generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: `${kind}-${crypto.randomBytes(4).toString('hex')}` };
};
const kindOf = (jwk) => (jwk.kty === 'RSA' ? 'RSA' : jwk.crv);
let keys = Object.keys(KINDS).map(newKey);

const merge = (to, from) => { for (const [k, v] of Object.entries(from)) { if (v === null) delete to[k]; else to[k] = v; } };

// Sign a copy of an ID token with other claims by the IdP's own key; null removes a claim. What a hostile or broken IdP, or a thief
// with something the IdP really signed, could send:
//   $hdr  header members to set (null removes)   $kind  sign with the published key of this kind
//   $sig  flip a bit of the signature            $key   sign with a key that is not published
//   $hmac HS256, the published key's PEM as the secret
function forge(jwt, { $hdr = {}, $sig, $key, $kind, $hmac, ...claims }) {
  const [h, c] = jwt.split('.').slice(0, 2).map((s) => JSON.parse(Buffer.from(s, 'base64url')));
  let jwk = $kind ? keys.find((k) => kindOf(k) === $kind) : keys.find((k) => k.kid === h.kid);
  if ($kind) Object.assign(h, { kid: jwk.kid, alg: KINDS[$kind][0] });
  if ($key) jwk = newKey(kindOf(jwk));
  const alg = h.alg;
  if ($hmac) h.alg = 'HS256';
  merge(h, $hdr); merge(c, claims);
  const b64 = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');
  const input = `${b64(h)}.${b64(c)}`;
  if (h.alg === 'none') return `${input}.`;
  if ($hmac) {
    const pem = crypto.createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    return `${input}.${crypto.createHmac('sha256', pem).update(input).digest('base64url')}`;
  }
  const how = { key: crypto.createPrivateKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
  if (alg.startsWith('PS')) Object.assign(how, { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST });
  const sig = crypto.sign(jwk.kty === 'OKP' ? null : `sha${alg.slice(2)}`, Buffer.from(input), how);
  if ($sig) sig[5] ^= 1;
  return `${input}.${sig.toString('base64url')}`;
}

// ---- clients -----------------------------------------------------------------------------------
const client = (client_id, more = {}) => ({
  client_id, application_type: 'native', token_endpoint_auth_method: 'none', response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token'], id_token_signed_response_alg: 'RS256',
  redirect_uris: ['http://127.0.0.1/callback', 'http://localhost/callback', 'http://[::1]/callback'], ...more,
});
const clients = () => [
  client('gatepass', ctl.backchannelUri ? { backchannel_logout_uri: ctl.backchannelUri } : {}),
  client('gatepass-es256', { id_token_signed_response_alg: 'ES256' }),
  client('another-app'),
];

// ---- the provider ------------------------------------------------------------------------------
const esc = (s) => String(s ?? '').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (title, body) => `<!doctype html><meta charset=utf-8><title>${esc(title)}</title><link rel=icon href="data:,"><h1>${esc(title)}</h1>${body}`;
const cookieKey = crypto.randomBytes(32).toString('hex'); // outlives rebuild(), so browsers stay signed in
const log = [];
let issuer;

const accountOf = (sub) => ({
  accountId: sub,
  claims: async () => ({
    sub, email: users[sub].email, email_verified: users[sub].emailVerified ?? true, groups: users[sub].groups,
    preferred_username: users[sub].username ?? sub, name: users[sub].name,
  }),
});

const send = (url, { method, headers, body }) => new Promise((resolve, reject) => {
  const rq = https.request(url, { method, headers: Object.fromEntries(new Headers(headers)), ca: ctl.backchannelCa }, (rs) => {
    let said = '';
    rs.setEncoding('utf8').on('data', (s) => { said += s; }).on('end', () => {
      log.push({ backchannel: { status: rs.statusCode, body: said, form: String(body) } });
      resolve({ status: rs.statusCode });
    });
  });
  rq.on('error', reject);
  rq.end(String(body));
});

function build() {
  const provider = new Provider(issuer, {
    adapter: Store,
    jwks: { keys },
    cookies: { keys: [cookieKey] },
    clients: clients(),
    clientBasedCORS: () => false,
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username', 'name'], groups: ['groups'] },
    conformIdTokenClaims: false, // claims of the granted scopes go into the ID token, not only to userinfo
    findAccount: async (ctx, sub) => (usable(sub) ? accountOf(sub) : undefined),
    issueRefreshToken: async (ctx, c, code) => c.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
    rotateRefreshToken: () => ctl.rotate,
    ttl: Object.fromEntries(Object.keys(ctl.ttl).map((k) => [k, () => ctl.ttl[k]])),
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'ES384', 'EdDSA'] },
    // the package refuses connections to loopback for its own outgoing requests (back-channel logout), and the receiver's authority
    // is made after this process was started
    fetch: (url, { dispatcher, ...o }) => (ctl.backchannelCa ? send(url, o) : fetch(url, o)),
    interactions: { url: (ctx, i) => `/interaction/${i.uid}` },
    renderError: async (ctx, out) => { ctx.type = 'html'; ctx.body = page('error', `<pre>${esc(JSON.stringify(out))}</pre>`); },
    loadExistingGrant: async (ctx) => {
      const id = ctx.oidc.result?.consent?.grantId ?? ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
      const grant = id && await ctx.oidc.provider.Grant.find(id);
      return grant && grant.accountId === ctx.oidc.session.accountId ? grant : undefined; // another user logged in
    },
    features: {
      devInteractions: { enabled: false },
      revocation: { enabled: ctl.revocation },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: async () => (ctl.jwtAccessTokens ? 'urn:gatepass-test:resource' : undefined),
        useGrantedResource: async () => true,
        getResourceServerInfo: async (ctx, resource, c) => ({ scope: '', audience: c.clientId, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
      },
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    const route = ctx.oidc?.route;
    const patch = ctl.patch[route === 'token' ? `token ${ctx.oidc.params?.grant_type}` : route];
    if (patch && ctx.status === 200) {
      const body = { ...ctx.body };
      merge(body, patch);
      ctx.body = body;
    }
    if (route !== 'token') return;
    count(`grant ${ctx.oidc.params?.grant_type}`);
    if (ctx.oidc.params?.code_verifier) secrets.add(ctx.oidc.params.code_verifier);
    if (ctx.status !== 200) return;
    if (ctl.oneGrant && ctx.oidc.params.grant_type === 'authorization_code') await endGrants(ctx.oidc.account.accountId, ctx.oidc.grant.jti);
    const change = ctl.tamper[ctx.oidc.params.grant_type];
    if (change && ctx.body.id_token) ctx.body = { ...ctx.body, id_token: forge(ctx.body.id_token, change) };
    for (const name of ['id_token', 'access_token', 'refresh_token']) if (ctx.body[name]) secrets.add(ctx.body[name]);
  });
  provider.on('server_error', (ctx, err) => console.error('server_error', err));
  provider.on('backchannel.error', (ctx, e) => log.push({ backchannelError: String(e.cause ?? e) }));
  return provider;
}

// ---- our own login and consent pages -----------------------------------------------------------
const bodyOf = async (rq) => { let s = ''; for await (const c of rq) { s += c; if (s.length > 262144) throw new Error('too large'); } return s; };
const html = (rs, status, s) => { rs.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }); rs.end(s); };
const loginForm = (uid, err) => page('sign in', `${err ? `<p id=err>${esc(err)}</p>` : ''}<form method=post action="/interaction/${uid}/login">
<input name=username id=username autocomplete=off><input name=password id=password type=password><button id=submit>sign in</button></form>`);

async function interaction(rq, rs, url) {
  const [, , uid, verb] = url.pathname.split('/');
  const d = await provider.interactionDetails(rq, rs);
  if (!verb) {
    if (d.prompt.name === 'login') return html(rs, 200, loginForm(uid));
    return html(rs, 200, page('consent', `<p>client <b>${esc(d.params.client_id)}</b> wants <i>${esc(d.params.scope)}</i></p>
<form method=post action="/interaction/${uid}/confirm"><button id=submit>allow</button></form><form method=post action="/interaction/${uid}/abort"><button id=abort>deny</button></form>`));
  }
  const form = new URLSearchParams(await bodyOf(rq));
  if (verb === 'login') {
    const name = form.get('username');
    if (!usable(name) || users[name].password !== form.get('password')) return html(rs, 401, loginForm(uid, 'wrong user or password'));
    count('login');
    return provider.interactionFinished(rq, rs, { login: { accountId: name, amr: ['pwd'] } }, { mergeWithLastSubmission: false });
  }
  if (verb === 'abort') return provider.interactionFinished(rq, rs, { error: 'access_denied', error_description: 'denied by the user' }, { mergeWithLastSubmission: false });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = d.prompt.details;
  const grant = (d.grantId && await provider.Grant.find(d.grantId)) || new provider.Grant({ accountId: d.session.accountId, clientId: d.params.client_id });
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [r, s] of Object.entries(missingResourceScopes ?? {})) grant.addResourceScope(r, s.join(' '));
  return provider.interactionFinished(rq, rs, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

// ---- the HTTPS server: counters, latency, failures, then the provider --------------------------
let provider; let callback;
const counts = {}; let connections = 0;
const count = (what) => { counts[what] = (counts[what] ?? 0) + 1; };
const sleep = (ms) => new Promise((r) => { setTimeout(r, ms); });
const server = https.createServer({ key: fs.readFileSync(`${pki}/tls.key`), cert: fs.readFileSync(`${pki}/tls.crt`) }, async (rq, rs) => {
  try {
    const url = new URL(rq.url, issuer);
    count(url.pathname.replace(/^(\/interaction|\/auth)\/.*/, '$1'));
    const wait = ctl.latencyMs[url.pathname] ?? ctl.latencyMs['*'];
    if (wait) await sleep(wait);
    let bad = ctl.fail[url.pathname] ?? ctl.fail['*'];
    if (bad && ctl.failTimes[url.pathname] !== undefined && ctl.failTimes[url.pathname]-- <= 0) bad = undefined;
    if (bad === 'reset') return void (rq.socket._parent ?? rq.socket).resetAndDestroy(); // the TCP socket under the TLS one
    if (bad === 'hang') return;
    if (bad) {
      const { status = bad, headers = { 'content-type': 'text/plain' }, body = 'unavailable' } = bad;
      rs.writeHead(status, headers);
      rs.end(body);
      return;
    }
    if (url.pathname.startsWith('/interaction/')) return await interaction(rq, rs, url);
    return callback(rq, rs);
  } catch (e) {
    if (e instanceof errors.SessionNotFound) return html(rs, 400, page('error', '<pre>session not found</pre>'));
    console.error(e);
    if (!rs.headersSent) rs.writeHead(500);
    rs.end();
  }
});
server.on('connection', () => { connections += 1; });
const rebuild = () => { provider = build(); callback = provider.callback(); };

// ---- control -----------------------------------------------------------------------------------
const ops = {
  stats: () => ({ connections, counts, log }),
  set: (o) => { assign(o); if ('backchannelUri' in o || 'revocation' in o) rebuild(); return ctl; },
  user: ({ sub, ...o }) => { users[sub] = { password: `${sub}-pw`, email: `${sub}@example.test`, groups: [], name: sub, ...users[sub], ...o }; return users[sub]; },
  // overlap: new keys first, old ones still published; hard: only new keys
  rotate: ({ mode = 'overlap' }) => {
    const fresh = Object.keys(KINDS).map(newKey);
    keys = { overlap: [...fresh, ...keys], hard: fresh }[mode];
    rebuild();
    return { keys: keys.map((k) => k.kid) };
  },
  // drop every grant of a user, and with it the refresh tokens
  revoke: async ({ sub }) => ({ revoked: await endGrants(sub) }),
  // a back-channel logout without the user's browser
  logout: async ({ sub, client_id }) => {
    const c = await provider.Client.find(client_id);
    const s = [...store.values()].find((e) => e.model === 'Session' && e.payload.accountId === sub && e.payload.authorizations?.[client_id]);
    await c.backchannelLogout(sub, s?.payload.authorizations[client_id].sid ?? 'no-session');
    return { ok: true };
  },
  forge: ({ token, change }) => ({ token: forge(token, change) }),
  secrets: () => ({ secrets: [...secrets] }),
};
const control = http.createServer(async (rq, rs) => {
  try {
    const op = ops[rq.url.slice(1)];
    if (!op) { rs.writeHead(404); return rs.end(); }
    const s = await bodyOf(rq);
    const out = await op(s ? JSON.parse(s) : {});
    rs.writeHead(200, { 'content-type': 'application/json' }); rs.end(JSON.stringify(out));
  } catch (e) { rs.writeHead(500, { 'content-type': 'application/json' }); rs.end(JSON.stringify({ error: String(e) })); }
});

server.listen(0, '127.0.0.1', () => {
  issuer = `https://localhost:${server.address().port}`;
  rebuild();
  control.listen(0, '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ issuer, control: `http://127.0.0.1:${control.address().port}`, pid: process.pid })}\n`);
  });
});
