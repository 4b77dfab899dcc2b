// What real clients make of the server's WebSockets: the standard client alone, under Apollo Client and under urql.
//
//   node --test sockets_test.mjs
//
// SERVER is the address of the server under test, http://host:port, which `go test ./realtime/graphqlws` starts. It
// counts along: subscription { n } tells each number, /count?by= counts on, /close?code= closes all connections, /drain
// asks clients to come back, /end ends all subscriptions.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ApolloClient, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const server = process.env.SERVER;
const WAIT = 10_000; // ms
const url = server.replace('http', 'ws') + '/graphql';
const clients = [];
after(() => clients.forEach((client) => client.dispose()));

function connect(options) {
  const client = createClient({ url, webSocketImpl: WebSocket, retryAttempts: 5, retryWait: () => sleep(20), ...options });
  clients.push(client);
  return client;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(path) {
  const response = await fetch(server + path);
  const text = await response.text();
  assert.equal(response.status, 200, `${path}: ${text}`);
  return text;
}

async function until(what, ok) {
  for (const end = Date.now() + WAIT; !(await ok()); await sleep(5)) {
    if (Date.now() > end) throw new Error(`not within ${WAIT} ms: ${what}`);
  }
}

const listeners = async (n) => until(`${n} listen`, async () => Number(await ask('/listeners')) === n);

// follow collects what a subscription of the standard client says.
function follow(client, query = 'subscription { n }') {
  const heard = { numbers: [], errors: [], done: false };
  heard.stop = client.subscribe({ query }, {
    next: ({ data, errors }) => (errors ? heard.errors.push(...errors) : heard.numbers.push(data.n)),
    error: (error) => heard.errors.push(error),
    complete: () => { heard.done = true; },
  });
  return heard;
}

test('the standard client subscribes, and completes', async () => {
  const heard = follow(connect());
  await listeners(1);
  const from = Number(await ask('/count?by=3'));
  await until('three numbers', () => heard.numbers.length === 3);
  assert.deepEqual(heard.numbers, [from + 1, from + 2, from + 3]);
  heard.stop();
  await until('it is done', () => heard.done);
  await listeners(0);
});

test('the standard client asks queries', async () => {
  const heard = follow(connect(), '{ n }');
  await until('it is done', () => heard.done);
  assert.equal(heard.numbers.length, 1);
  assert.deepEqual(heard.errors, []);
});

test('the server ends a subscription', async () => {
  const heard = follow(connect());
  await listeners(1);
  await ask('/end');
  await until('it is done', () => heard.done);
  assert.deepEqual(heard.errors, []);
});

test('a document that does not fit the schema is an error of its operation alone', async () => {
  const client = connect({ lazy: false, onNonLazyError: () => {} });
  const heard = follow(client, 'subscription { nonsense }');
  await until('an error', () => heard.errors.length === 1);
  assert.match(heard.errors[0][0].message, /nonsense/);
  const next = follow(client);
  await listeners(1);
  next.stop();
  await listeners(0);
});

// The codes of docs/realtime.md.
const retried = [1012, 1013, 4290, 4291, 4403, 4408];
const fatal = [1009, 4400, 4401, 4406, 4409, 4429];

for (const code of retried) {
  test(`${code}: the standard client comes back after a wait, and subscribes again`, async () => {
    let connections = 0, waits = 0;
    const client = connect({ on: { connected: () => connections++ }, retryWait: async () => { waits++; await sleep(20); } });
    const heard = follow(client);
    await listeners(1);
    await ask(`/close?code=${code}`);
    await until('it is back', () => connections === 2);
    await listeners(1);
    const from = Number(await ask('/count?by=1'));
    await until('a number', () => heard.numbers.length === 1);
    assert.deepEqual([heard.numbers, heard.errors, heard.done, waits], [[from + 1], [], false, 1]);
    heard.stop();
    await listeners(0);
  });
}

for (const code of fatal) {
  test(`${code}: the standard client gives up, and says why`, async () => {
    let connections = 0;
    const heard = follow(connect({ on: { connected: () => connections++ } }));
    await listeners(1);
    await ask(`/close?code=${code}`);
    await until('an error', () => heard.errors.length === 1);
    assert.equal(heard.errors[0].code, code);
    await sleep(100);
    assert.equal(connections, 1);
  });
}

test('Apollo Client subscribes and asks over the socket', async () => {
  const link = new GraphQLWsLink(connect());
  const apollo = new ApolloClient({ link, cache: new InMemoryCache() });
  const numbers = [];
  const subscription = apollo.subscribe({ query: gql`subscription { n }` }).subscribe(({ data }) => numbers.push(data.n));
  await listeners(1);
  const from = Number(await ask('/count?by=2'));
  await until('two numbers', () => numbers.length === 2);
  assert.deepEqual(numbers, [from + 1, from + 2]);
  const { data } = await apollo.query({ query: gql`{ n }` });
  assert.equal(typeof data.n, 'number');
  subscription.unsubscribe();
  await listeners(0);
  apollo.stop();
});

test('urql subscribes over the socket', async () => {
  const ws = connect();
  const urql = new Client({
    url: `${server}/graphql`,
    exchanges: [subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({ unsubscribe: ws.subscribe({ query: request.query ?? '', variables: request.variables }, sink) }),
      }),
    })],
  });
  const numbers = [];
  const { unsubscribe } = urql.subscription('subscription { n }', {}).subscribe(({ data }) => numbers.push(data.n));
  await listeners(1);
  const from = Number(await ask('/count?by=2'));
  await until('two numbers', () => numbers.length === 2);
  assert.deepEqual(numbers, [from + 1, from + 2]);
  unsubscribe();
  await listeners(0);
});

// Last: the server takes no connections afterwards.
test('a drain sends the standard client away with 1012', async () => {
  const codes = [];
  const heard = follow(connect({ retryAttempts: 2, on: { closed: (event) => codes.push(event.code) } }));
  await listeners(1);
  await ask('/drain');
  await until('it has tried again', () => heard.errors.length === 1);
  assert.equal(codes[0], 1012);
  assert.equal(heard.done, false);
});
