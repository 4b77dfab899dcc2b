// The GraphQL endpoint over HTTP, as a user's device and as a backend, and the user tokens.
const RENEW_BEFORE = 30_000; // ms before a token ends

export class API {
  #config; #tokens = new Map();

  constructor(config) {
    this.#config = config;
  }

  // asUser runs an operation with the public key and the user's token, as an app would.
  async asUser(user, query, variables) {
    try {
      return await this.#post(await this.#userHeaders(user), query, variables);
    } catch (error) {
      if (error.code !== 'UNAUTHENTICATED') throw error;
      this.forgetToken(user);
      return this.#post(await this.#userHeaders(user), query, variables);
    }
  }

  // asBackend runs an operation with the secret key, which a page must never have outside of this demo. onResponse is
  // called when the answer begins to come.
  asBackend(query, variables, onResponse) {
    return this.#post({ authorization: `Bearer ${this.#config.secretKey}` }, query, variables, onResponse);
  }

  async initPayload(user) {
    return { authorization: `Bearer ${this.#config.publicKey}`, userToken: (await this.token(user)).token };
  }

  // token is shared by all devices of the user, and fetched once even if several ask at the same time.
  async token(user) {
    const known = await this.#tokens.get(user);
    if (known && Date.parse(known.expiresAt) - Date.now() > RENEW_BEFORE) return known;
    if (known) this.forgetToken(user);
    if (!this.#tokens.has(user)) {
      const fetched = this.#fetchToken(user);
      this.#tokens.set(user, fetched);
      fetched.catch(() => this.forgetToken(user));
    }
    return this.#tokens.get(user);
  }

  forgetToken(user) {
    this.#tokens.delete(user);
  }

  // renewIn is how long a connection made with this token should live, in ms.
  static renewIn(token) {
    return Math.max(1000, Date.parse(token.expiresAt) - Date.now() - RENEW_BEFORE);
  }

  async #fetchToken(user) {
    const response = await fetch(`${this.#config.tokenEndpoint}?user=${encodeURIComponent(user)}`);
    if (!response.ok) throw new Error(`no token for ${user}: the server said ${response.status}`);
    return response.json();
  }

  async #userHeaders(user) {
    const { authorization, userToken } = await this.initPayload(user);
    return { authorization, 'x-belfry-user-token': userToken };
  }

  async #post(headers, query, variables, onResponse) {
    const response = await fetch(this.#config.endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json', ...headers },
      body: JSON.stringify({ query, variables }),
    });
    onResponse?.(performance.now());
    const body = await response.json().catch(() => ({}));
    if (body.errors || !response.ok) {
      const [first] = body.errors ?? [{ message: `the server said ${response.status}` }];
      throw Object.assign(new Error(first.message), { code: first.extensions?.code });
    }
    return body.data;
  }
}
